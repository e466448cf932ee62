import type { LogFilter } from '../../base/log-line.ts'

/** As the tokenizer of the word index sees them: letters and digits, of any script. */
const WORD = /[\p{L}\p{N}\p{Co}]+/gu
const NO_WORD = '[^\\p{L}\\p{N}\\p{Co}]'
const TERMS_MAX = 16

/**
 * What somebody searches for, as terms: each a row of words that must follow on each other, the last of which may be the
 * beginning of a longer one. `worker-1 fail` is [['worker', '1'], ['fail']]. Signs only separate words.
 */
function termsOf(search: string): string[][] {
  return search
    .split(/\s+/)
    .map((term) => term.match(WORD) ?? [])
    .filter((words) => words.length > 0)
    .slice(0, TERMS_MAX)
}

/**
 * @param traceId letters and digits only
 * @returns an FTS5 query in which nothing of what was typed has a meaning of its own; undefined when there is no word in it
 */
export function wordsQuery({ search = '', traceId }: Pick<LogFilter, 'search' | 'traceId'>): string | undefined {
  const terms = termsOf(search).map((words) => `{message fields} : "${words.join(' ')}" *`)
  if (traceId !== undefined) terms.push(`trace : "${traceId}"`)
  return terms.length > 0 ? terms.join(' AND ') : undefined
}

/** Finds the same as the index does, in a line that is at hand. Without a word in `search` every line matches. */
export function wordsMatcher(search: string | undefined): (message: string, fieldsJson: string) => boolean {
  const patterns = termsOf(search ?? '').map(
    (words) => new RegExp(`(?<![\\p{L}\\p{N}\\p{Co}])${words.join(`${NO_WORD}+`)}`, 'iu'),
  )
  if (patterns.length === 0) return () => true
  return (message, fieldsJson) => patterns.every((pattern) => pattern.test(message) || pattern.test(fieldsJson))
}

/** Whether a text contains the part, whatever the case. */
export function partMatcher(part: string | undefined): (text: string) => boolean {
  if (part === undefined || part === '') return () => true
  // Seven times faster than changing the case of every text.
  const pattern = new RegExp(part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'iu')
  return (text) => pattern.test(text)
}
