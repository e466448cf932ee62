import { RpcError } from '../../base/errors.ts'
import { type NodeId, type Principal, principalLabel } from '../../base/identity.ts'
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
