import { ERROR_CODES, type ErrorCode, P2PError, RpcError } from '../../base/errors.ts'

/** The error object of JSON-RPC 2.0 section 5.1. `data` is ours. */
export interface RpcErrorObject {
  code: number
  message: string
  data: {
    /** The code to test; stable, unlike the message. */
    code: ErrorCode
    retryable: boolean
    /** Finds the call in the logs of every node it went through. */
    trace_id?: string
    details?: Readonly<Record<string, unknown>>
  }
}

/** The messages of section 5.1; ours begin with them and go on with what was wrong. */
const SPECIFIED_MESSAGES: Readonly<Record<number, string>> = {
  [-32700]: 'Parse error',
  [-32600]: 'Invalid Request',
  [-32601]: 'Method not found',
  [-32602]: 'Invalid params',
  [-32603]: 'Internal error',
}

/** Any thrown value as it is told to a caller: never a stack, and of an error that is not ours only that it happened. */
export function rpcErrorObject(error: unknown, traceId?: string): RpcErrorObject {
  const known = error instanceof P2PError ? error : new RpcError('P2P_RPC_INTERNAL', 'see the log of the node')
  const { rpc, retryable } = known.facts
  const prefix = SPECIFIED_MESSAGES[rpc]
  const isPrefixed = prefix === undefined || known.message.startsWith(prefix)
  return {
    code: rpc,
    message: isPrefixed ? known.message : `${prefix}: ${known.message}`,
    data: {
      code: known.code,
      retryable,
      ...(traceId !== undefined && { trace_id: traceId }),
      ...(Object.keys(known.details).length > 0 && { details: known.details }),
    },
  }
}

/**
 * The error that a peer's error object stands for.
 * @param from whom it came from, for an object that says nothing usable
 */
export function errorFromRpcObject(value: unknown, from: string): RpcError {
  const { message, data } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const { code, details } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>
  const text = typeof message === 'string' ? message : `${from} answered with an error it did not describe`
  const isKnown = typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)
  const facts = typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : {}
  return new RpcError(isKnown ? (code as ErrorCode) : 'P2P_RPC_INTERNAL', text, facts)
}
