import type { Member, MemberStatus } from '../../base/member.ts'
import type { HappenedEvent } from '../../base/timeline.ts'
import type { EventRecorder } from './event-store.ts'

/** Tells what is new of a member: whether it answers, that it started again, its program. */
export function tellMember(recorder: EventRecorder, member: Member, nowMs: number): void {
  const { record, status } = member
  const { nodeId, softwareVersion } = record
  // A suspicion is refuted or becomes a death within seconds.
  if (status === 'suspect') return
  let isNew = false
  recorder.observe(`member/${nodeId}`, status, (previous) => {
    isNew = true
    return statusEvent(member, previous as MemberStatus, nowMs)
  })
  if (status !== 'alive') return
  recorder.observe(`start/${nodeId}`, String(record.startedAtMs), (previous) =>
    // That it is back says it.
    previous === undefined || isNew
      ? undefined
      : { timeMs: nowMs, kind: 'member', severity: 'info', title: `${nodeId} started again`, nodeId },
  )
  recorder.observe(`program/${nodeId}`, softwareVersion, (previous) =>
    previous === undefined
      ? undefined
      : {
          timeMs: nowMs,
          kind: 'deploy',
          severity: 'info',
          title: `${nodeId} now runs P2P Core ${softwareVersion}`,
          detail: `It ran ${previous} before.`,
          nodeId,
        },
  )
}

/** Tells what is new of the health of a member's services. */
export function tellHealth(
  recorder: EventRecorder,
  { record: { nodeId, services }, status }: Member,
  nowMs: number,
): void {
  if (status !== 'alive') return
  for (const { name, health, version } of services) {
    // What is on its way will be there in a moment, or fail.
    if (health !== 'healthy' && health !== 'failing') continue
    const about = { timeMs: nowMs, kind: 'health', nodeId, service: name } as const
    recorder.observe(`health/${nodeId}/${name}`, health, (previous) => {
      if (health === 'failing') return { ...about, severity: 'error', title: `${name} ${version} fails on ${nodeId}` }
      if (previous === undefined) return undefined
      return { ...about, severity: 'info', title: `${name} ${version} is healthy again on ${nodeId}` }
    })
  }
}

function statusEvent(
  { record: { nodeId, role }, status }: Member,
  previous: MemberStatus | undefined,
  nowMs: number,
): HappenedEvent | undefined {
  const about = { timeMs: nowMs, kind: 'member', nodeId } as const
  switch (status) {
    case 'alive':
      if (previous === undefined) return { ...about, severity: 'info', title: `${nodeId} joined as ${role}` }
      return {
        ...about,
        severity: 'info',
        title: previous === 'dead' ? `${nodeId} answers again` : `${nodeId} is back`,
      }
    case 'dead':
      return {
        ...about,
        severity: 'error',
        title: `${nodeId} does not answer any more`,
        detail: 'No member of the cluster reaches it: its process or machine ended, or its network is cut.',
      }
    case 'left':
      // Of one that left before this coordinator ever saw it nothing is to be told.
      return previous === undefined
        ? undefined
        : { ...about, severity: 'info', title: `${nodeId} was stopped, and said so` }
    case 'suspect':
      return undefined
  }
}
