/** Version of the tables below, in `user_version`. A file of another version is put aside: it holds log lines, nothing else. */
export const SCHEMA_VERSION = 1

/** Lines at this level and above have an index of their own: they are few, and asked for most. */
export const SERIOUS_RANK = 2

export const LINES_SCHEMA = `
CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, lines INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE epochs (
  node INTEGER NOT NULL, epoch TEXT NOT NULL, last INTEGER NOT NULL, used INTEGER NOT NULL, PRIMARY KEY (node, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE loggers (node INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (node, name)) STRICT, WITHOUT ROWID;
CREATE TABLE minutes (minute INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
CREATE TABLE lines (
  id INTEGER PRIMARY KEY, node INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, received INTEGER NOT NULL,
  clock_offset INTEGER NOT NULL, level INTEGER NOT NULL, logger TEXT NOT NULL, message TEXT NOT NULL, fields TEXT NOT NULL,
  trace TEXT NOT NULL
) STRICT;
CREATE INDEX lines_of_node ON lines (node);
CREATE INDEX lines_serious ON lines (id) WHERE level >= ${SERIOUS_RANK};
PRAGMA user_version = ${SCHEMA_VERSION};
`

/** Version of the index of the words. One of another version is made anew. */
export const WORDS_VERSION = 2

/**
 * The words of the lines, and the calls they belong to. It holds no text, can be made anew from the lines at any time, and is therefore never synced.
 * Words are as in Unicode 6.1, without regard to case: docs/protocol/logs.md.
 */
export const WORDS_SCHEMA = `
DROP TABLE IF EXISTS words;
DROP TABLE IF EXISTS progress;
CREATE VIRTUAL TABLE words USING fts5(message, fields, trace, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 0');
CREATE TABLE progress (indexed INTEGER NOT NULL, purged INTEGER NOT NULL, words INTEGER NOT NULL) STRICT;
INSERT INTO progress VALUES (0, 0, 0);
PRAGMA user_version = ${WORDS_VERSION};
`
