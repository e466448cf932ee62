import { RpcError } from '../../base/errors.ts'
import { type NodeId, type NodeRole, type Principal, principalLabel } from '../../base/identity.ts'
import type { MethodDescriptor } from '../definition/descriptor.ts'

const RANK = { viewer: 0, operator: 1, admin: 2 } as const

/**
 * Decides whether `caller` may call the method that was found, on the node `self`.
 * @returns the refusal, or undefined
 */
export function refusalOf(method: MethodDescriptor, caller: Principal, self: NodeId): RpcError | undefined {
  switch (caller.kind) {
    case 'anonymous':
      return unauthenticated(method)
    case 'node':
      if (!method.isPublic && caller.nodeId !== self)
        return denied(caller, method, `only services on node ${self} may call it`)
      if (!method.callers || (caller.service !== undefined && method.callers.includes(caller.service))) return undefined
      return denied(caller, method, onlyServices(method.callers))
    case 'person':
      if (method.callers) return denied(caller, method, onlyServices(method.callers))
      if (!method.isPublic) return denied(caller, method, `only services on node ${self} may call it`)
      if (RANK[caller.role] >= RANK[method.requiredRole]) return undefined
      return denied(caller, method, `it needs the role ${method.requiredRole}, the caller has ${caller.role}`)
  }
}

/**
 * What of P2P Core's own services is for people alone. A worker may ask for none of it, not in the name of a person either: whom
 * it speaks for is only its word, and good for what every person may.
 */
const FOR_PEOPLE: ReadonlySet<string> = new Set([
  'log_collector/clear_logs',
  'metrics_dashboard/clear_metrics_history',
  'metrics_dashboard/control_service',
  'metrics_reporter/control_reporter',
  'metrics_reporter/set_interval',
  'system/get_config',
  'system/renew_certificate',
])

/**
 * Decides whether a call that another node brought may run, whoever it says the caller is.
 * @param origin `peerRole`: of the node at the other end of the channel
 * @returns the refusal, or undefined
 */
export function refusalOfPeer(
  method: MethodDescriptor,
  {
    caller,
    relayedBy,
    peerRole,
  }: { caller: Principal; relayedBy?: NodeId | undefined; peerRole?: NodeRole | undefined },
  self: NodeId,
): RpcError | undefined {
  const role = peerRole ?? (caller.kind === 'node' && caller.nodeId !== self ? caller.role : undefined)
  if (role !== 'worker' || !FOR_PEOPLE.has(nameOf(method))) return undefined
  if (relayedBy === undefined) return denied(caller, method, 'it is for people')
  return denied(
    caller,
    method,
    `node ${relayedBy} does not speak for people here: ask a coordinator, or the node itself`,
  )
}

function onlyServices(callers: readonly string[]): string {
  return callers.length === 0 ? 'no service may call it' : `only these services may call it: ${callers.join(', ')}`
}

function denied(caller: Principal, descriptor: MethodDescriptor, reason: string): RpcError {
  const method = nameOf(descriptor)
  return new RpcError('P2P_RPC_ACCESS_DENIED', `${principalLabel(caller)} may not call ${method}: ${reason}`, {
    method,
  })
}

function unauthenticated(descriptor: MethodDescriptor): RpcError {
  const method = nameOf(descriptor)
  return new RpcError('P2P_RPC_AUTHENTICATION_REQUIRED', `${method} needs a signed-in caller: run "p2p login"`, {
    method,
  })
}

function nameOf({ service, name }: MethodDescriptor): string {
  return `${service}/${name}`
}
