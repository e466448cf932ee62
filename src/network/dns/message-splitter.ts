import { QUERY_BYTES_MAX } from './message.ts'

const LENGTH_BYTES = 2

/** Cuts a TCP stream into messages, two bytes of length before each (RFC 1035 section 4.2.2). Holds one message at most. */
export class MessageSplitter {
  #held: Buffer = Buffer.alloc(0)

  /** @returns the messages now complete, or undefined when a length is none of a query's: the stream is lost then */
  push(chunk: Buffer): Buffer[] | undefined {
    let rest = Buffer.concat([this.#held, chunk])
    const messages: Buffer[] = []
    while (rest.length >= LENGTH_BYTES) {
      const length = rest.readUInt16BE(0)
      if (length === 0 || length > QUERY_BYTES_MAX) return undefined
      if (rest.length < LENGTH_BYTES + length) break
      messages.push(rest.subarray(LENGTH_BYTES, LENGTH_BYTES + length))
      rest = rest.subarray(LENGTH_BYTES + length)
    }
    this.#held = rest
    return messages
  }
}

/** A message with its length in front. */
export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}
