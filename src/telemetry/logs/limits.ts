/** Longest message and longest JSON of the fields of a line, in characters; the logger itself writes at most about as much. */
export const MESSAGE_CHARACTERS_MAX = 16_384
export const FIELDS_CHARACTERS_MAX = 32_768
export const LOGGER_CHARACTERS_MAX = 256

/** One batch on its way to the coordinator. A node makes no larger ones; a coordinator takes none. */
export const BATCH_LINES_MAX = 2_000
export const BATCH_CHARACTERS_MAX = 512 * 1_024
