import type { Readable } from 'node:stream'
import { formatBytes } from '../base/bytes.ts'
import { TransportError } from '../base/errors.ts'

const EMPTY = Buffer.alloc(0)

/**
 * Reads a message body whole.
 * @param declaredLength its content-length header, if there is one: a body that says it is too large is not read at all
 * @returns undefined when the sender went away in the middle
 * @throws {TransportError} P2P_TRANSPORT_TOO_LARGE
 */
export function readBody(source: Readable, bytesMax: number, declaredLength?: string): Promise<Buffer | undefined> {
  if (declaredLength !== undefined && Number(declaredLength) > bytesMax) return Promise.reject(tooLarge(bytesMax))
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const onData = (chunk: Buffer): void => {
      length += chunk.length
      if (length <= bytesMax) {
        chunks.push(chunk)
        return
      }
      source.off('data', onData)
      source.pause()
      reject(tooLarge(bytesMax))
    }
    source.on('data', onData)
    source.on('end', () => resolve(chunks.length > 1 ? Buffer.concat(chunks, length) : (chunks[0] ?? EMPTY)))
    // Also after an error.
    source.on('close', () => resolve(undefined))
  })
}

function tooLarge(bytesMax: number): TransportError {
  const message = `The body is larger than ${formatBytes(bytesMax)}.`
  return new TransportError('P2P_TRANSPORT_TOO_LARGE', message, { bytesMax })
}
