import { CliError } from '../../base/errors.ts'
import { rpcError } from './api-client.ts'
import type { Session } from './connect.ts'

/** Longest time the node works on a call. */
export const TIMEOUT_MS_MAX = 600_000
/** The node gives up first, so that the answer names what took so long. */
const TIMEOUT_MARGIN_MS = 5_000

export interface MethodCall {
  /** `service/method` */
  method: string
  params?: unknown
  /** Node id, `coordinator`, `worker`, `local` or `remote`; the nearest instance when undefined. */
  node: string | undefined
  timeoutMs?: number | undefined
  /** Ends waiting for the answer. */
  signal?: AbortSignal | undefined
}

/**
 * Calls a service method (JSON-RPC 2.0).
 * @param onItem gets each item of a method that streams, as it comes; the call then gives undefined
 * @throws {RpcError} what the node or the method says; {CliError} P2P_CLI_UNREACHABLE: the stream broke off
 */
export async function callMethod(
  session: Session,
  { method, params, node, timeoutMs, signal }: MethodCall,
  onItem?: (item: unknown) => void,
): Promise<unknown> {
  let end: RpcAnswer | undefined
  const onLine = (line: string): void => {
    const told = JSON.parse(line) as RpcAnswer & { item?: unknown }
    if (Object.hasOwn(told, 'item')) onItem?.(told.item)
    else end = told
  }
  const answer = await session.call<RpcAnswer | undefined>({
    method: 'POST',
    path: node === undefined ? '/rpc' : `/rpc?node=${encodeURIComponent(node)}`,
    body: { jsonrpc: '2.0', id: 1, method, ...(params !== undefined && { params }) },
    timeoutMs: (timeoutMs ?? TIMEOUT_MS_MAX) + TIMEOUT_MARGIN_MS,
    headers: {
      ...(timeoutMs !== undefined && { 'x-p2p-timeout-ms': String(timeoutMs) }),
      ...(onItem && { accept: 'application/x-ndjson, application/json, application/problem+json' }),
    },
    ...(onItem && { onLine }),
    ...(signal && { signal }),
  })
  if (answer) return resultOf(answer)
  if (!end) {
    throw new CliError('P2P_CLI_UNREACHABLE', `The answer of ${method} broke off; what came before it is incomplete`)
  }
  resultOf(end)
  return undefined
}

interface RpcAnswer {
  result?: unknown
  error?: unknown
}

function resultOf({ result, error }: RpcAnswer): unknown {
  if (error === undefined || error === null) return result
  throw rpcError(error)
}
