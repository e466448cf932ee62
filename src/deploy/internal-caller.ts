import { RpcError } from '../base/errors.ts'
import { type NodeId, type Principal, principalLabel } from '../base/identity.ts'

/**
 * Refuses all but one built-in service of another node. A node gives the names of its services by itself, and no deployed one
 * can have the name of a built-in one.
 * @throws {RpcError} P2P_RPC_ACCESS_DENIED
 */
export function requireService(
  caller: Principal,
  method: string,
  service: string,
  role?: 'coordinator',
): asserts caller is Extract<Principal, { kind: 'node' }> {
  const isService = caller.kind === 'node' && caller.service === service
  if (isService && (role === undefined || caller.role === role)) return
  throw denied(caller, method, `it is for ${service} of ${role === undefined ? 'the nodes' : `a ${role}`}`)
}

/**
 * Refuses all but people; whom another node says it speaks for only when that node may speak for people here, else a worker
 * could do in their name what it may not do itself.
 * @param maySpeak whether the node that passed the call on is trusted with it
 * @returns the person, for the log and the history
 * @throws {RpcError} P2P_RPC_ACCESS_DENIED
 */
export function requirePerson(
  { caller, relayedBy }: { readonly caller: Principal; readonly relayedBy?: NodeId },
  method: string,
  maySpeak: (nodeId: NodeId) => boolean,
): string {
  if (caller.kind !== 'person') throw denied(caller, method, 'it is for people')
  if (relayedBy === undefined || maySpeak(relayedBy)) return principalLabel(caller)
  throw denied(
    caller,
    method,
    `node ${relayedBy} does not speak for people here: ask a coordinator, or the node itself`,
  )
}

function denied(caller: Principal, method: string, reason: string): RpcError {
  return new RpcError('P2P_RPC_ACCESS_DENIED', `${principalLabel(caller)} may not call ${method}: ${reason}`, {
    method,
  })
}
