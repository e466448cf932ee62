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
export function isTooDeep(bytes: Uint8Array, depthMax: number): boolean {
  let depth = 0
  let isInString = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (isInString) {
      if (byte === BACKSLASH) i++
      else if (byte === QUOTE) isInString = false
    } else if (byte === QUOTE) isInString = true
    else if (byte === BRACE_OPEN || byte === BRACKET_OPEN) {
      if (++depth > depthMax) return true
    } else if (byte === BRACE_CLOSE || byte === BRACKET_CLOSE) depth--
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
