import type { Member, ServiceRecord } from '../../base/member.ts'

/** Whether an instance that says so takes calls: one that starts does not yet, one that drains not any more. */
export function isUp(health: ServiceRecord['health']): boolean {
  return health === 'healthy' || health === 'failing'
}

/** How good an instance is to be chosen; 0 is best. A suspect is probably gone; a failing instance at least answers. */
export function quality(member: Member, service: string): number {
  const isHealthy = member.record.services.some(({ name, health }) => name === service && health === 'healthy')
  return (member.status === 'alive' ? 0 : 2) + (isHealthy ? 0 : 1)
}
