import { StorageError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'

/** Characters of a plot; one byte each. */
export const PLOT_CHARACTERS = 3347
/** The alphabet, in the order that the extraction of the pattern counts in. */
export const PLOT_ALPHABET = "qwertyuiopasdfghjklzxcvbnmQWERTYUIOPASDFGHJKLZXCVBNM1234567890!@#$%^&*()_+-=/?;:'[{]}"
/** A pattern must be longer than this (as in the Python program). */
const PATTERN_CHARACTERS_MIN = 14

const VALUES = new Map(Array.from(PLOT_ALPHABET, (character, index) => [character, index]))

/**
 * A new plot. Every character names the next position to read, and the first 85 characters are a random cyclic
 * permutation of the alphabet (Sattolo's algorithm): from wherever one begins, reading falls into that one cycle at
 * once, so the repeating pattern is there by construction. It alone has log2(84!) = 419 bits of strength.
 */
export function generatePlot(random: Random): string {
  const bytes = byteSource(random)
  const next = Array.from(PLOT_ALPHABET, (_, index) => index)
  for (let i = next.length - 1; i > 0; i--) {
    const j = uniform(bytes, i)
    ;[next[i], next[j]] = [next[j] as number, next[i] as number]
  }
  while (next.length < PLOT_CHARACTERS) next.push(uniform(bytes, PLOT_ALPHABET.length))
  return next.map((index) => PLOT_ALPHABET.charAt(index)).join('')
}

/** @throws {StorageError} P2P_STORAGE_PLOT_INVALID, naming what is wrong; `place` is the file's path */
export function checkPlot(text: string, place: string): void {
  if (text.length !== PLOT_CHARACTERS) {
    throw invalid(place, `it has ${text.length} bytes and must have ${PLOT_CHARACTERS}`)
  }
  const foreign = [...new Set(text)].find((character) => !VALUES.has(character))
  if (foreign !== undefined) {
    throw invalid(place, `the byte at ${text.indexOf(foreign)} is no character of a plot`)
  }
  if (findPattern(text) === undefined) throw invalid(place, 'it has no repeating pattern')
}

/**
 * The repeating pattern: reading begins at a character, whose place in the alphabet is the next position to read, and
 * so on. As each character read decides all that follow, reading runs into a cycle; the first cycle of at least 14
 * characters that is read twice before the text's length is used up is the pattern. Takes at most 85 steps from each
 * start. The text must hold only characters of the alphabet.
 */
export function findPattern(text: string): string | undefined {
  for (let start = 0; start < text.length; start++) {
    const read: number[] = []
    const firstReadAt = new Map<number, number>()
    let value = valueAt(text, start)
    while (!firstReadAt.has(value)) {
      firstReadAt.set(value, read.length)
      read.push(value)
      value = valueAt(text, value)
    }
    const cycle = read.slice(firstReadAt.get(value))
    const isReadTwice = read.length + cycle.length <= text.length - start
    if (cycle.length >= PATTERN_CHARACTERS_MIN && isReadTwice) {
      return cycle.map((index) => PLOT_ALPHABET.charAt(index)).join('')
    }
  }
  return undefined
}

function valueAt(text: string, position: number): number {
  return VALUES.get(text.charAt(position)) as number
}

/** A whole number in [0, bound) without bias: bytes that would favour the smaller numbers are drawn again. */
function uniform(bytes: Iterator<number, never>, bound: number): number {
  const usable = 256 - (256 % bound)
  let byte = bytes.next().value
  while (byte >= usable) byte = bytes.next().value
  return byte % bound
}

function* byteSource(random: Random): Generator<number, never, undefined> {
  for (;;) yield* random.bytes(1024)
}

function invalid(place: string, what: string): StorageError {
  const message = `${place} is not a plot: ${what}. Put back the plot from its backup, byte for byte`
  return new StorageError('P2P_STORAGE_PLOT_INVALID', message, { path: place })
}
