import { RpcError } from '../../base/errors.ts'
import type { Membership } from '../../base/member.ts'

/** The refusal of a node that is not the coordinator, with where to ask instead. */
export function coordinatorOnly(membership: Membership, what: string): RpcError {
  const { record } = membership.self()
  const coordinators = membership
    .members()
    .filter((member) => member.record.role === 'coordinator' && member.status === 'alive')
    .flatMap((member) => member.record.addresses.slice(0, 1))
  const where =
    coordinators.length > 0 ? `ask ${coordinators.join(' or ')}` : 'it knows of no coordinator that is alive'
  return new RpcError(
    'P2P_HTTP_COORDINATOR_ONLY',
    `${record.nodeId} is a ${record.role} and does not ${what}; ${where}`,
    {
      coordinators,
    },
  )
}
