import { messageOf, RpcError } from '../../base/errors.ts'
import type { RpcEnvelope, RpcId } from './rpc-body.ts'
import { rpcErrorObject } from './rpc-error.ts'

/**
 * The response object of section 5 as JSON text.
 * @param json the result
 */
export function resultText(envelope: RpcEnvelope, id: RpcId, json: string): string {
  if (envelope === 'legacy') return `{"result":${json},"error":null,"id":${JSON.stringify(id)}}`
  return `{"jsonrpc":"2.0","result":${json},"id":${JSON.stringify(id)}}`
}

/** The same for a failure; the older envelope has a text where JSON-RPC 2.0 has an object. */
export function errorText(envelope: RpcEnvelope, id: RpcId, error: unknown, traceId?: string): string {
  const object = rpcErrorObject(error, traceId)
  if (envelope === 'legacy') return JSON.stringify({ result: null, error: object.message, id })
  return JSON.stringify({ jsonrpc: '2.0', error: object, id })
}

/**
 * A result as JSON text. What a method returned as `undefined` is null.
 * @param method that returned it, for the error
 * @throws {RpcError} P2P_RPC_INVALID_RESULT when it cannot be JSON (a cycle, a BigInt)
 */
export function jsonText(result: unknown, method: string): string {
  try {
    // What has no JSON, a function for instance, gives undefined in spite of the declared type.
    return (JSON.stringify(result) as string | undefined) ?? 'null'
  } catch (error) {
    throw new RpcError('P2P_RPC_INVALID_RESULT', `${method} returned what cannot be JSON: ${messageOf(error)}`, {
      method,
    })
  }
}
