import { messageOf, RpcError } from '../../base/errors.ts'
import { forbiddenKeyIn, isTooDeep, jsonText, RPC_LIMITS } from '../jsonrpc/index.ts'

/** Texts up to this are given three bytes for each character, which none exceeds. */
const COUNTED_LENGTH = 4_096

/**
 * JSON text that nobody on this node has to read: parameters and results on their way between another node and a service's
 * process are passed on as they came. Whoever does read it checks depth and keys first.
 */
export class RawJson {
  #text: string | undefined
  readonly #bytes: Buffer | undefined
  readonly #begin: number
  readonly #end: number

  constructor(text: string | undefined, bytes?: Buffer, begin = 0, end = 0) {
    this.#text = text
    this.#bytes = bytes
    this.#begin = begin
    this.#end = end
  }

  /** What lies there in a message that came in, whose memory is not written to again: only who reads it makes a text of it. */
  static of(bytes: Buffer, begin: number, end: number): RawJson {
    return new RawJson(undefined, bytes, begin, end)
  }

  get text(): string {
    return (this.#text ??= (this.#bytes as Buffer).toString('utf8', this.#begin, this.#end))
  }

  /** No fewer than `writeTo` writes. */
  get bytesMax(): number {
    return this.#bytes ? this.#end - this.#begin : maxBytesOf(this.#text as string)
  }

  /** @returns where it ends */
  writeTo(into: Buffer, at: number): number {
    const bytes = this.#bytes
    return at + (bytes ? bytes.copy(into, at, this.#begin, this.#end) : into.write(this.#text as string, at))
  }
}

/** Of a text in UTF-8: long ones are counted, short ones estimated. */
function maxBytesOf(text: string): number {
  return text.length > COUNTED_LENGTH ? Buffer.byteLength(text) : text.length * 3
}

/**
 * Parameters from outside, for whoever runs the method; values that are no {@link RawJson} were checked where they came in.
 * @throws {RpcError} P2P_RPC_PARSE_ERROR; P2P_RPC_INVALID_REQUEST: too deep, a key that is not allowed, neither object nor array
 */
export function readParams(method: string, params: unknown): unknown {
  if (!(params instanceof RawJson)) return params
  const { text } = params
  if (isTooDeep(text, RPC_LIMITS.depthMax)) {
    throw invalid(method, `the parameters nest deeper than ${RPC_LIMITS.depthMax} levels`)
  }
  const value = parsed(method, params)
  if (typeof value !== 'object' || value === null) throw invalid(method, 'parameters are an object or an array')
  const key = forbiddenKeyIn(text, value)
  if (key !== undefined) throw invalid(method, `the key "${key}" is not allowed anywhere in parameters`)
  return value
}

/**
 * A result for whoever made the call; of a stream, each item is read when it comes.
 * @throws {RpcError} P2P_RPC_PARSE_ERROR: the other end sent what is no JSON
 */
export function readResult(method: string, result: unknown): unknown {
  if (result instanceof RawJson) return parsed(method, result)
  return isStream(result) ? readItems(method, result[Symbol.asyncIterator]()) : result
}

/**
 * A value as JSON text, unread if it came so.
 * @param method that gave it, for the error
 * @throws {RpcError} P2P_RPC_INVALID_RESULT when it cannot be JSON (a cycle, a BigInt)
 */
export function textOf(method: string, value: unknown): string {
  return value instanceof RawJson ? value.text : jsonText(value, method)
}

/**
 * A value as JSON text on one line, to stand between texts of ours: what came unread is read, so that it cannot pass for more
 * than one value.
 * @throws {RpcError} P2P_RPC_PARSE_ERROR; P2P_RPC_INVALID_RESULT
 */
export function lineOf(method: string, value: unknown): string {
  if (!(value instanceof RawJson)) return jsonText(value, method)
  const read = parsed(method, value)
  return value.text.includes('\n') ? jsonText(read, method) : value.text
}

/** Whether a result is a stream of items. */
export function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function readItems(method: string, items: AsyncIterator<unknown>): AsyncIterableIterator<unknown> {
  const read = (next: IteratorResult<unknown>): IteratorResult<unknown> =>
    next.value instanceof RawJson ? { done: false, value: parsed(method, next.value) } : next
  return {
    next: () => items.next().then(read),
    return: async () => (await items.return?.()) ?? { done: true, value: undefined },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

function parsed(method: string, { text }: RawJson): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new RpcError('P2P_RPC_PARSE_ERROR', `Parse error: what came with ${method} is no JSON: ${messageOf(error)}`, {
      method,
    })
  }
}

function invalid(method: string, reason: string): RpcError {
  return new RpcError('P2P_RPC_INVALID_REQUEST', `Invalid Request: ${method}: ${reason}`, { method })
}
