import { P2PError } from '../../base/errors.ts'
import type { RawJson } from '../calls/raw-json.ts'
import type { LinkContext } from './call-link.ts'
import {
  HEADING_HEADER_BYTES,
  REQUEST_HEADER_BYTES_MAX,
  RESULT_HEADER_BYTES,
  writeHeading,
  writeRequestHeader,
  writeResultHeader,
} from './compact-message.ts'
import { headingText, ToldHeadings } from './heading.ts'
import type { LinkChannel } from './link-channel.ts'
import {
  BATCH,
  BATCH_HEADER_BYTES,
  greetingMessage,
  LENGTH_BYTES,
  requestMessage,
  resultMessage,
  wholeMs,
} from './link-message.ts'
import { type Slab, slabFor, takeBack } from './slab.ts'

/** A longer message goes alone. */
const BATCHED_BYTES_MAX = 16 * 1024
/** A batch that has this many bytes does not wait for more: the other end works on it meanwhile, instead of after this one. */
const BATCH_BYTES = 8 * 1024
/** Of method and target together: a heading with longer ones, which name nothing there is, would not fit a batch. */
const HEADING_CHARACTERS_MAX = 1_024

export interface Request {
  id: number
  method: string
  params: RawJson | undefined
  timeoutMs: number
  context: Omit<LinkContext, 'timeoutMs'>
}

export interface LinkWriterNeeds {
  channel: LinkChannel
  /** A batch did not leave. @param firstRequest number of the first call in it, where there is one */
  unsent: (error: P2PError, batch: { firstRequest: number | undefined; hasResults: boolean }) => void
}

/**
 * Writes the messages of one end of a link. Requests and results of one turn are written one behind the other into memory that
 * leaves as it is, in one frame: to another end that has greeted. One that has not gets JSON, a frame for each.
 */
export class LinkWriter {
  readonly #channel: LinkChannel
  readonly #unsent: LinkWriterNeeds['unsent']
  #headings = new ToldHeadings()
  /** Why a batch, with the headings in it, did not leave. */
  #failure: P2PError | undefined
  #hasGreeted = false
  #isCompact = false
  /** Of the batch that is being written, from `#begin` to the slab's `at`. */
  #slab: Slab | undefined
  #begin = 0
  #firstRequest: number | undefined
  #hasResults = false
  #willFlush = false

  constructor({ channel, unsent }: LinkWriterNeeds) {
    this.#channel = channel
    this.#unsent = unsent
  }

  /** The other end reads compact messages. */
  greeted(): void {
    this.#isCompact = true
    this.#greet()
  }

  /** @throws as {@link LinkChannel.send}; what is gathered fails by `unsent` */
  request({ id, method, params, timeoutMs, context }: Request): void {
    const { target = '' } = context
    if (!this.#isCompact || method.length + target.length > HEADING_CHARACTERS_MAX) {
      this.send(requestMessage(id, method, params?.text, timeoutMs, context))
      return
    }
    const headings = this.#headings
    const heading = headings.numberOf(method, context) ?? this.#tellHeading(method, context)
    const bytesMax = REQUEST_HEADER_BYTES_MAX + (params?.bytesMax ?? 0)
    const header = { id, timeoutMs: wholeMs(timeoutMs), heading, hasParams: params !== undefined }
    if (bytesMax > BATCHED_BYTES_MAX) {
      const message = Buffer.allocUnsafe(bytesMax)
      const at = writeRequestHeader(message, 0, header, context)
      this.flush()
      this.#assertTold(headings)
      this.send(message.subarray(0, params?.writeTo(message, at) ?? at))
      return
    }
    const { bytes, at } = this.#room(bytesMax)
    this.#assertTold(headings)
    const bodyAt = writeRequestHeader(bytes, at, header, context)
    this.#written(at, params ? params.writeTo(bytes, bodyAt) : bodyAt)
    this.#firstRequest ??= id
  }

  /** @throws as {@link LinkChannel.send}; what is gathered fails by `unsent` */
  result(id: number, result: RawJson): void {
    if (!this.#isCompact) {
      this.send(resultMessage(id, result.text))
      return
    }
    const bytesMax = RESULT_HEADER_BYTES + result.bytesMax
    if (bytesMax > BATCHED_BYTES_MAX) {
      const message = Buffer.allocUnsafe(bytesMax)
      this.send(message.subarray(0, result.writeTo(message, writeResultHeader(message, 0, id))))
      return
    }
    const { bytes, at } = this.#room(bytesMax)
    this.#written(at, result.writeTo(bytes, writeResultHeader(bytes, at, id)))
    this.#hasResults = true
  }

  /** Any other message, behind those that were written before. @throws as {@link LinkChannel.send} */
  send(message: Uint8Array): void {
    this.#greet()
    this.flush()
    this.#channel.send(message)
  }

  /** Hands over what is gathered. Never throws. */
  readonly flush = (): void => {
    this.#willFlush = false
    const slab = this.#slab
    if (!slab) return
    const batch = { firstRequest: this.#firstRequest, hasResults: this.#hasResults }
    const payload = slab.bytes.subarray(this.#begin, slab.at)
    this.#slab = undefined
    this.#firstRequest = undefined
    this.#hasResults = false
    takeBack(slab)
    if (this.#channel.closed.aborted) return
    try {
      this.#channel.send(payload)
    } catch (error) {
      if (!(error instanceof P2PError)) throw error
      // Headings may have been among what was lost.
      this.#headings = new ToldHeadings()
      this.#failure = error
      this.#unsent(error, batch)
    }
  }

  #greet(): void {
    if (this.#hasGreeted) return
    this.#channel.send(greetingMessage())
    this.#hasGreeted = true
  }

  /** Under a heading that was lost, and whose number others may have, nothing is sent. */
  #assertTold(headings: ToldHeadings): void {
    if (this.#headings !== headings) throw this.#failure
  }

  #tellHeading(method: string, context: LinkContext | Request['context']): number {
    const text = headingText(method, context)
    const number = this.#headings.add(method, context)
    const { bytes, at } = this.#room(HEADING_HEADER_BYTES + text.length * 3)
    this.#written(at, writeHeading(bytes, at, number, text))
    return number
  }

  /** @returns where a message of at most so many bytes can be written, behind its length */
  #room(bytesMax: number): { bytes: Buffer; at: number } {
    if (this.#slab && this.#slab.at + LENGTH_BYTES + bytesMax > this.#slab.bytes.length) this.flush()
    let slab = this.#slab
    if (!slab) {
      slab = this.#slab = slabFor(BATCH_HEADER_BYTES + LENGTH_BYTES + bytesMax)
      this.#begin = slab.at
      slab.bytes[slab.at] = BATCH
      slab.at += BATCH_HEADER_BYTES
      if (!this.#willFlush) queueMicrotask(this.flush)
      this.#willFlush = true
    }
    return { bytes: slab.bytes, at: slab.at + LENGTH_BYTES }
  }

  /** A message is there, from `begin` to `end`. */
  #written(begin: number, end: number): void {
    const slab = this.#slab as Slab
    slab.bytes.writeUInt32BE(end - begin, begin - LENGTH_BYTES)
    slab.at = end
    if (end - this.#begin >= BATCH_BYTES) this.flush()
  }
}
