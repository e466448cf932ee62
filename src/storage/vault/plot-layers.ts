import { Buffer } from 'node:buffer'
import { ByteWriter } from './byte-writer.ts'
import { digest } from './digest.ts'
import { PLOT_ALPHABET } from './plot.ts'

const LABEL = 'p2p-core/plot/v2'
const WINDOW_CHARACTERS = 50
const BLOCKS = 100

/** Everything PBKDF2 needs to make a password of a plot. */
export interface PlotKeyMaterial {
  material: Uint8Array
  salt: Uint8Array
}

/**
 * The seven layers of docs/protocol/plot.md. They are a function of the plot's characters alone: what copying a file
 * changes (name, path, times, mode) is not in them. They add no strength to the plot's own; they only have to be the
 * same everywhere and for ever, so each part is length-prefixed and the whole is labelled with its version.
 */
export function plotLayers(text: string, pattern: string): Uint8Array[] {
  return [
    digest('sha512', text),
    patternPositions(text, pattern),
    blockHashes(text),
    cascade(text, pattern),
    segmentXor(text),
    frequencies(text),
    metadata(text, pattern),
  ]
}

export function plotKeyMaterial(text: string, pattern: string): PlotKeyMaterial {
  const material = new ByteWriter().text(LABEL)
  for (const layer of plotLayers(text, pattern)) material.bytes(layer)
  const salt = new ByteWriter().text(`${LABEL}/salt`).text(pattern).text(text.slice(0, 100)).text(text.slice(-100))
  return { material: material.take(), salt: digest('sha256', salt.take()) }
}

/** Layer 2: for each character of the pattern, where in the text it occurs. */
function patternPositions(text: string, pattern: string): Uint8Array {
  const writer = new ByteWriter()
  for (const character of pattern) {
    const positions = positionsOf(text, character)
    writer.u32(positions.length)
    for (const position of positions) writer.u32(position)
  }
  return digest('sha3-256', writer.take())
}

/** Layer 3: the text in about a hundred blocks. */
function blockHashes(text: string): Uint8Array {
  const blockCharacters = Math.max(1, Math.floor(text.length / BLOCKS))
  const hashes: Uint8Array[] = []
  for (let start = 0; start < text.length; start += blockCharacters) {
    hashes.push(digest('sha256', text.slice(start, start + blockCharacters)))
  }
  return digest('sha256', ...hashes)
}

/** Layer 4: each character of the pattern picks a stretch of the text, which is hashed into the state. */
function cascade(text: string, pattern: string): Uint8Array {
  let state: Uint8Array = Buffer.from(pattern, 'latin1')
  for (let i = 0; i < pattern.length; i++) {
    const stretch = Buffer.from(stretchAround(text, pattern.charCodeAt(i) % text.length), 'latin1')
    state = digest('blake2b512', new ByteWriter().bytes(state).bytes(stretch).take())
  }
  return state
}

/** Layer 5: the hashes of the three thirds, XORed. */
export function segmentXor(text: string): Uint8Array {
  const first = Math.floor(text.length / 3)
  const second = Math.floor((2 * text.length) / 3)
  const hashes = [text.slice(0, first), text.slice(first, second), text.slice(second)].map((third) =>
    digest('sha256', third),
  )
  return Uint8Array.from({ length: 32 }, (_, i) => hashes.reduce((xor, hash) => xor ^ (hash[i] as number), 0))
}

/** Layer 6: how often each character of the alphabet occurs. */
function frequencies(text: string): Uint8Array {
  const counts = new ByteWriter()
  for (const character of PLOT_ALPHABET) counts.u32(positionsOf(text, character).length)
  return digest('sha256', counts.take())
}

/** Layer 7: sizes. */
function metadata(text: string, pattern: string): Uint8Array {
  return digest(
    'sha256',
    new ByteWriter().text(LABEL).u32(text.length).u32(PLOT_ALPHABET.length).u32(pattern.length).take(),
  )
}

export function positionsOf(text: string, character: string): number[] {
  const positions: number[] = []
  for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + 1)) positions.push(at)
  return positions
}

export function stretchAround(text: string, index: number): string {
  return text.slice(Math.max(0, index - WINDOW_CHARACTERS), Math.min(text.length, index + WINDOW_CHARACTERS))
}
