import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  type DecodedPacket,
  DNSSEC_OK,
  encode,
  encodingLength,
  type OptAnswer,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from 'dns-packet'

/** Response codes this server gives (RFC 1035 section 4.1.1); BADVERS needs EDNS (RFC 6891 section 6.1.3). */
export const RCODES = { NOERROR: 0, FORMERR: 1, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const
export type Rcode = keyof typeof RCODES

/** What is asked. `type` is `A`, `SRV` … or `UNKNOWN_65` for types the library has no name for; `class` likewise. */
export interface DnsQuestion {
  /** With the asker's own capitals, without the final dot; `.` for the root. */
  name: string
  type: string
  class: string
}

export interface DnsQuery {
  readonly id: number
  readonly question: DnsQuestion
  /** The question as it came, to be repeated byte by byte: resolvers hide a nonce in the capitals of the name. */
  readonly questionBytes: Buffer
  readonly isRecursionDesired: boolean
  /** Undefined for an asker that does not speak EDNS. */
  readonly edns: { version: number; udpBytesMax: number; isDnssecOk: boolean } | undefined
}

/** What a query is answered with, before it is known what fits. */
export interface Resolution {
  rcode: Rcode
  /** The question is about this server's own zone. */
  isAuthoritative: boolean
  answers: Answer[]
  authorities: Answer[]
  additionals: Answer[]
}

/** An answer that only says no. */
export function refusal(rcode: Rcode): Resolution {
  return { rcode, isAuthoritative: false, answers: [], authorities: [], additionals: [] }
}

/** `refused`: it can be told why, but there is no question to answer. `dropped`: an answer would help nobody. */
export type ReceivedMessage =
  | { kind: 'query'; query: DnsQuery }
  | { kind: 'refused'; rcode: Rcode; reply: Buffer }
  | { kind: 'dropped' }

/** Longest message read. A query with every extension and padding stays below it (RFC 8467 pads to 128). */
export const QUERY_BYTES_MAX = 1_232
/** What everybody takes by UDP (RFC 1035 section 4.2.1). */
export const UDP_BYTES_MIN = 512
/** Largest answer by UDP, whatever the asker allows: fits every path without fragments (DNS flag day 2020). */
export const UDP_BYTES_MAX = 1_232
/** A TCP message has two bytes for its length. */
export const TCP_BYTES_MAX = 65_535

const HEADER_BYTES = 12
const RESPONSE = 0x80_00
const OPCODE_MASK = 0x78_00
/** EDNS and a signature (TSIG) are the only records a query brings. */
const ADDITIONALS_MAX = 2
/** The OPT record of an answer: root name, type, size, flags, no options (RFC 6891 section 6.1.2). */
const OPT_BYTES = 11

const DROPPED: ReceivedMessage = { kind: 'dropped' }

/** Reads one message from outside: size and header first, the rest by the library. Never throws. */
export function readQuery(packet: Buffer): ReceivedMessage {
  if (packet.length < HEADER_BYTES || packet.length > QUERY_BYTES_MAX) return DROPPED
  const flags = packet.readUInt16BE(2)
  // Never an answer to an answer: two servers would talk for ever.
  if ((flags & RESPONSE) !== 0) return DROPPED
  if ((flags & OPCODE_MASK) !== 0) return refused(packet, 'NOTIMP')
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((offset) => packet.readUInt16BE(offset))
  const isQuery = questions === 1 && answers === 0 && authorities === 0
  if (!isQuery || (additionals as number) > ADDITIONALS_MAX) return refused(packet, 'FORMERR')
  const decoded = decodeOrUndefined(packet)
  const question = decoded?.questions?.[0] as DnsQuestion | undefined
  if (!decoded || !question) return DROPPED
  const questionBytes = bytesOf(question, packet)
  const opts = (decoded.additionals ?? []).filter((record): record is OptAnswer => record.type === 'OPT')
  const [opt] = opts
  if (!questionBytes || opts.length > 1 || (opt && opt.name !== '.')) return refused(packet, 'FORMERR')
  return {
    kind: 'query',
    query: {
      id: packet.readUInt16BE(0),
      question,
      questionBytes,
      isRecursionDesired: decoded.flag_rd,
      edns: opt && { version: opt.ednsVersion, udpBytesMax: opt.udpPayloadSize, isDnssecOk: opt.flag_do },
    },
  }
}

function decodeOrUndefined(packet: Buffer): DecodedPacket | undefined {
  try {
    const decoded = decode(packet)
    // The library reads past the end of a record that claims to be longer than the message.
    return decode.bytes === packet.length ? decoded : undefined
  } catch {
    return undefined
  }
}

/**
 * The question's bytes in the packet. A name that does not come out of decoding and encoding as it was (a pointer, a dot
 * inside a label, bytes that are not UTF-8) is none that exists here, and could not be repeated in an answer.
 */
function bytesOf({ name }: DnsQuestion, packet: Buffer): Buffer | undefined {
  const encoded = encode({ questions: [{ name, type: 'A' }] })
  const question = packet.subarray(HEADER_BYTES, encoded.length)
  const nameBytes = encoded.length - HEADER_BYTES - 4
  const isSame = question.subarray(0, nameBytes).equals(encoded.subarray(HEADER_BYTES, HEADER_BYTES + nameBytes))
  return isSame ? question : undefined
}

/** A header alone: the question, if there is one, could not be read. */
function refused(packet: Buffer, rcode: Rcode): ReceivedMessage {
  const reply = Buffer.alloc(HEADER_BYTES)
  packet.copy(reply, 0, 0, 2)
  const kept = packet.readUInt16BE(2) & (OPCODE_MASK | RECURSION_DESIRED)
  reply.writeUInt16BE(RESPONSE | kept | RCODES[rcode], 2)
  return { kind: 'refused', rcode, reply }
}

/**
 * The answer as it goes out. What does not fit is left out: additional records silently, because nobody needs them
 * (RFC 2181 section 9), others with the truncation bit set, so that the asker comes back by TCP.
 */
export function writeReply(
  query: DnsQuery,
  resolution: Resolution,
  bytesMax: number,
): { bytes: Buffer; isTruncated: boolean } {
  const overhead = HEADER_BYTES + query.questionBytes.length + (query.edns ? OPT_BYTES : 0)
  let room = bytesMax - overhead
  const fitting = (records: readonly Answer[]): Answer[] => {
    const taken: Answer[] = []
    for (const record of records) {
      const size = encodingLength({ answers: [record] }) - HEADER_BYTES
      if (size > room) return taken
      room -= size
      taken.push(record)
    }
    return taken
  }
  const answers = fitting(resolution.answers)
  const authorities = fitting(resolution.authorities)
  const isTruncated = answers.length < resolution.answers.length || authorities.length < resolution.authorities.length
  const additionals = isTruncated ? [] : fitting(resolution.additionals)
  const { rcode, isAuthoritative } = resolution
  return {
    bytes: assembled(query, { rcode, isAuthoritative, answers, authorities, additionals }, isTruncated),
    isTruncated,
  }
}

/** No records and the truncation bit: come by TCP. No longer than the query, so nobody can aim it at a third party with gain. */
export function writeTruncated(query: DnsQuery): Buffer {
  const nothing = { answers: [], authorities: [], additionals: [] }
  return assembled(query, { rcode: 'NOERROR', isAuthoritative: true, ...nothing }, true)
}

function assembled(query: DnsQuery, resolution: Resolution, isTruncated: boolean): Buffer {
  const rcode = RCODES[resolution.rcode]
  const message = encode({
    type: 'response',
    id: query.id,
    flags:
      (resolution.isAuthoritative ? AUTHORITATIVE_ANSWER : 0) |
      (isTruncated ? TRUNCATED_RESPONSE : 0) |
      (query.isRecursionDesired ? RECURSION_DESIRED : 0) |
      (rcode & 0xf),
    answers: resolution.answers,
    authorities: resolution.authorities,
    additionals: [...resolution.additionals, ...(query.edns ? [optRecord(rcode >> 4, query.edns.isDnssecOk)] : [])],
  })
  message.writeUInt16BE(1, 4)
  return Buffer.concat([message.subarray(0, HEADER_BYTES), query.questionBytes, message.subarray(HEADER_BYTES)])
}

/** The asker's DO bit is repeated (RFC 3225 section 3), although nothing here is signed. */
function optRecord(extendedRcode: number, isDnssecOk: boolean): OptAnswer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: UDP_BYTES_MAX,
    extendedRcode,
    ednsVersion: 0,
    flags: isDnssecOk ? DNSSEC_OK : 0,
    flag_do: isDnssecOk,
    options: [],
  }
}
