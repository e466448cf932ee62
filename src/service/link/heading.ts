import type { Principal } from '../../base/identity.ts'
import type { LinkContext } from './call-link.ts'
import { HEADING, HEADING_HEADER_BYTES } from './compact-message.ts'
import { contextOf, quoted, restText } from './link-context.ts'

/** What many requests of a link have in common: told once, and named by a number from then on. */
export interface Heading {
  readonly method: string
  readonly context: HeadingContext
}

export type HeadingContext = Omit<LinkContext, 'timeoutMs' | 'traceId' | 'spanId' | 'isOwnSpan' | 'hops'>

/** In one direction of a link. */
export const HEADINGS_MAX = 1_024
/** Of one as it is read: who sends longer ones, which no call needs, would have this node keep them. */
export const HEADING_BYTES_MAX = 8 * 1024
/** Of one method: each is compared with every request of it. */
const OF_METHOD_MAX = 16

const NO_TRACE = '0'.repeat(32)

/** The headings that one end has told, found by what is in them. The oldest give their numbers to new ones. */
export class ToldHeadings {
  readonly #byMethod = new Map<string, Told[]>()
  #count = 0

  /** @returns undefined: it has not been told */
  numberOf(method: string, context: HeadingContext): number | undefined {
    const ofMethod = this.#byMethod.get(method)
    if (!ofMethod) return undefined
    for (const told of ofMethod) if (isSame(told.context, context)) return told.number
    return undefined
  }

  /** @returns the number under which it is to be told now */
  add(method: string, context: HeadingContext): number {
    let ofMethod = this.#byMethod.get(method)
    if (!ofMethod) {
      if (this.#count >= HEADINGS_MAX) this.#forgetAll()
      this.#byMethod.set(method, (ofMethod = []))
    }
    const number = ofMethod.length < OF_METHOD_MAX && this.#count < HEADINGS_MAX ? this.#count++ : oldest(ofMethod)
    ofMethod.push({ number, context: commonOf(context) })
    return number
  }

  #forgetAll(): void {
    this.#byMethod.clear()
    this.#count = 0
  }
}

interface Told {
  readonly number: number
  readonly context: HeadingContext
}

function oldest(ofMethod: Told[]): number {
  return (ofMethod.shift() as Told).number
}

/** @returns JSON */
export function headingText(method: string, context: HeadingContext): string {
  return `{"method":${quoted(method)},"context":{"timeout_ms":1,"trace_id":"${NO_TRACE}"${restText(commonOf(context))}}}`
}

/** Reads a message of that kind. */
export function readHeading(
  message: Buffer,
  begin: number,
  end: number,
): { kind: 'heading'; number: number; heading: Heading } | undefined {
  if (end - begin < HEADING_HEADER_BYTES || end - begin > HEADING_BYTES_MAX) return undefined
  const number = message.readUInt16BE(begin + 1)
  if (message[begin] !== HEADING || number >= HEADINGS_MAX) return undefined
  const heading = parseHeading(message.toString('utf8', begin + HEADING_HEADER_BYTES, end))
  return heading && { kind: 'heading', number, heading }
}

function parseHeading(text: string): Heading | undefined {
  let read: { method?: unknown; context?: unknown } | null
  try {
    read = JSON.parse(text) as typeof read
  } catch {
    return undefined
  }
  const context = contextOf(read?.context)
  if (typeof read?.method !== 'string' || !context) return undefined
  const {
    timeoutMs: _timeoutMs,
    traceId: _traceId,
    spanId: _spanId,
    isOwnSpan: _isOwnSpan,
    hops: _hops,
    ...common
  } = context
  return { method: read.method, context: common }
}

function commonOf({ service, person, caller, relayedBy, target, retries }: HeadingContext): HeadingContext {
  return { service, person, caller, relayedBy, target, retries }
}

function isSame(told: HeadingContext, given: HeadingContext): boolean {
  return (
    told.service === given.service &&
    told.relayedBy === given.relayedBy &&
    told.target === given.target &&
    told.retries === given.retries &&
    (told.caller === given.caller || isSamePrincipal(told.caller, given.caller)) &&
    (told.person === given.person || isSamePerson(told.person, given.person))
  )
}

function isSamePerson(a: HeadingContext['person'], b: HeadingContext['person']): boolean {
  return a?.name === b?.name && a?.role === b?.role
}

function isSamePrincipal(a: Principal | undefined, b: Principal | undefined): boolean {
  if (a?.kind === 'person' && b?.kind === 'person') return isSamePerson(a, b)
  if (a?.kind !== 'node' || b?.kind !== 'node') return a?.kind === b?.kind
  return a.nodeId === b.nodeId && a.role === b.role && a.service === b.service
}
