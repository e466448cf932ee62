/*
 * What is checked of a JSON text besides its grammar. JSON.parse itself does not recurse, but what is done with the
 * value later may, and keys that reach a prototype have no place in any message.
 */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACKET_OPEN = 0x5b
const BRACKET_CLOSE = 0x5d
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d

/** Whether the JSON text nests deeper than `depthMax`. One pass, no recursion; for texts that are no JSON any answer may come. */
export function isTooDeep(text: string, depthMax: number): boolean {
  // Almost no text has enough brackets, and counting them is nine times as fast as reading the text character by character.
  if (!hasMoreThan(depthMax, text, '{', '[')) return false
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    // Most of a text is in its strings, and they are passed over four times as fast as they are read.
    if (code === QUOTE) i = endOfString(text, i)
    else if (code === BRACE_OPEN || code === BRACKET_OPEN) {
      if (++depth > depthMax) return true
    } else if (code === BRACE_CLOSE || code === BRACKET_CLOSE) depth--
  }
  return false
}

/** Where the string that begins at `start` ends; behind the text when it does not. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let backslashes = 0
    while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++
    // An even number of them are escaped themselves.
    if (backslashes % 2 === 0) return at
  }
  return text.length
}

function hasMoreThan(countMax: number, text: string, ...characters: string[]): boolean {
  let count = 0
  for (const character of characters) {
    for (let at = text.indexOf(character); at !== -1; at = text.indexOf(character, at + 1)) {
      if (++count > countMax) return true
    }
  }
  return false
}

/** `__proto__`, `constructor` and `prototype`, plain or with an escaped letter, can only be there if one of these is. */
const SUSPICIOUS = /__proto__|constructor|prototype|\\u/
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

/**
 * The first key in `value` that could reach a prototype when somebody merges the value carelessly.
 * @param text what `value` was parsed from; searched first, because almost no text needs the walk
 */
export function forbiddenKeyIn(text: string, value: unknown): string | undefined {
  if (!SUSPICIOUS.test(text)) return undefined
  const open: unknown[] = [value]
  while (open.length > 0) {
    const item = open.pop()
    if (typeof item !== 'object' || item === null) continue
    for (const key of Object.keys(item)) {
      if (FORBIDDEN_KEYS.has(key) && !Array.isArray(item)) return key
      open.push((item as Record<string, unknown>)[key])
    }
  }
  return undefined
}
