import { Buffer } from 'node:buffer'
import { digest } from './digest.ts'
import { type PlotKeyMaterial, positionsOf, segmentXor, stretchAround } from './plot-layers.ts'

const FREQUENT_CHARACTERS = 20

/**
 * The layers as the Python program (2.3) computed them, for opening its archives: without length prefixes, MD5 in
 * layer 3, and the file's name in layer 7.
 */
export function legacyPlotLayers(text: string, pattern: string, fileName: string): Uint8Array[] {
  return [
    digest('sha512', text),
    digest(
      'sha3-256',
      Array.from(pattern)
        .flatMap((character) => positionsOf(text, character))
        .join(''),
    ),
    blockHashes(text),
    cascade(text, pattern),
    segmentXor(text),
    frequencies(text),
    digest('sha256', String(text.length), Buffer.from(fileName, 'utf8'), String(text.length)),
  ]
}

export function legacyPlotKeyMaterial(
  text: string,
  pattern: string,
  fileName: string,
): PlotKeyMaterial & { iterations: number } {
  return {
    material: Buffer.concat(legacyPlotLayers(text, pattern, fileName)),
    salt: digest('sha256', pattern, text.slice(0, 100), text.slice(-100)),
    iterations: 500_000 + (text.length % 500_000),
  }
}

function blockHashes(text: string): Uint8Array {
  const blockCharacters = Math.max(1, Math.floor(text.length / 100))
  const hashes: Uint8Array[] = []
  for (let start = 0; start < text.length; start += blockCharacters) {
    hashes.push(digest('md5', text.slice(start, start + blockCharacters)))
  }
  return digest('sha256', ...hashes)
}

function cascade(text: string, pattern: string): Uint8Array {
  let state: Uint8Array = Buffer.from(pattern, 'latin1')
  for (let i = 0; i < pattern.length; i++) {
    state = digest('blake2b512', state, stretchAround(text, pattern.charCodeAt(i) % text.length))
  }
  return state
}

function frequencies(text: string): Uint8Array {
  const smallest = [...new Set(text)].sort().slice(0, FREQUENT_CHARACTERS)
  return digest('sha256', smallest.map((character) => `${character}${positionsOf(text, character).length}`).join(''))
}
