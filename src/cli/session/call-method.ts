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
}

/** Calls a service method (JSON-RPC 2.0). @throws {RpcError} what the node or the method says */
export async function callMethod(session: Session, { method, params, node, timeoutMs }: MethodCall): Promise<unknown> {
  const answer = await session.call<{ result?: unknown; error?: unknown }>({
    method: 'POST',
    path: node === undefined ? '/rpc' : `/rpc?node=${encodeURIComponent(node)}`,
    body: { jsonrpc: '2.0', id: 1, method, ...(params !== undefined && { params }) },
    timeoutMs: (timeoutMs ?? TIMEOUT_MS_MAX) + TIMEOUT_MARGIN_MS,
    ...(timeoutMs !== undefined && { headers: { 'x-p2p-timeout-ms': String(timeoutMs) } }),
  })
  if (answer.error === undefined || answer.error === null) return answer.result
  throw rpcError(answer.error)
}
