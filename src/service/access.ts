import { RpcError } from '../base/errors.ts'
import { type NodeId, type Principal, principalLabel } from '../base/identity.ts'
import type { MethodDescriptor } from './descriptor.ts'

const RANK = { viewer: 0, operator: 1, admin: 2 } as const

/**
 * Decides whether `caller` may call the method that was found, on the node `self`.
 * @returns the refusal, or undefined
 */
export function refusalOf(method: MethodDescriptor, caller: Principal, self: NodeId): RpcError | undefined {
  const name = `${method.service}/${method.name}`
  switch (caller.kind) {
    case 'anonymous':
      return new RpcError('P2P_RPC_AUTHENTICATION_REQUIRED', `${name} needs a signed-in caller: run "p2p login"`, {
        method: name,
      })
    case 'node':
      if (!method.isPublic && caller.nodeId !== self)
        return denied(caller, name, `only services on node ${self} may call it`)
      if (!method.callers || (caller.service !== undefined && method.callers.includes(caller.service))) return undefined
      return denied(caller, name, onlyServices(method.callers))
    case 'person':
      if (method.callers) return denied(caller, name, onlyServices(method.callers))
      if (!method.isPublic) return denied(caller, name, `only services on node ${self} may call it`)
      if (RANK[caller.role] >= RANK[method.requiredRole]) return undefined
      return denied(caller, name, `it needs the role ${method.requiredRole}, the caller has ${caller.role}`)
  }
}

function onlyServices(callers: readonly string[]): string {
  return callers.length === 0 ? 'no service may call it' : `only these services may call it: ${callers.join(', ')}`
}

function denied(caller: Principal, method: string, reason: string): RpcError {
  return new RpcError('P2P_RPC_ACCESS_DENIED', `${principalLabel(caller)} may not call ${method}: ${reason}`, {
    method,
  })
}
