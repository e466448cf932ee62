import type { NodeId } from '../../base/identity.ts'
import type { MemberStatus } from '../../base/member.ts'
import type { AttentionItem } from '../../service/index.ts'

/** All that is looked at; moments are Unix milliseconds on the coordinator's clock. */
export interface AttentionFacts {
  nowMs: number
  members: readonly { nodeId: NodeId; status: MemberStatus; sinceMs: number }[]
  services: readonly ServiceFacts[]
  machines: readonly MachineFacts[]
}

/** A service over the nodes that are alive. */
export interface ServiceFacts {
  name: string
  wanted: number
  running: number
  healthy: number
  /** Where it fails, and why. */
  failing: readonly { nodeId: NodeId; reason: string | undefined }[]
}

export interface MachineFacts {
  nodeId: NodeId
  disk: { percent: number; free: number }
  /** Rise of `disk.percent` an hour, over the last hours; 0 when it does not rise. */
  diskPercentPerHour: number
  /** What its clock is behind the coordinator's; negative: ahead. */
  clockBehindMs: number
  certificate: { notBeforeMs: number; notAfterMs: number } | undefined
}

/** Before the moment it began is known. `isPassing`: mostly over in seconds, as while a service starts. */
export type Attention = Omit<AttentionItem, 'since'> & { sinceMs?: number; isPassing?: boolean }

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Certificates are renewed a month before they end, those of a shorter life at two thirds of it: later, something stands in the way. */
const CERTIFICATE_WARNING_MS = 30 * DAY_MS
const CERTIFICATE_ERROR_MS = 3 * DAY_MS
const DISK_WARNING_PERCENT = 90
const DISK_ERROR_PERCENT = 97
/** A disk that will be full so soon is worth a look while there is still room. */
const DISK_FULL_WARNING_HOURS = 24
/** Certificates and tokens are good to the second, log lines are corrected from a minute on. */
const CLOCK_WARNING_MS = 5_000
const CLOCK_ERROR_MS = 60_000

/** What somebody should look at now. No item twice; errors first, then by id. */
export function attentionOf(facts: AttentionFacts): Attention[] {
  const items = [
    ...facts.members.flatMap(memberAttention),
    ...facts.services.flatMap(serviceAttention),
    ...facts.machines.flatMap((machine) => [
      ...certificateAttention(machine, facts.nowMs),
      ...diskAttention(machine),
      ...clockAttention(machine),
    ]),
  ]
  return items.sort((a, b) => RANKS[a.severity] - RANKS[b.severity] || (a.id < b.id ? -1 : 1))
}

const RANKS = { error: 0, warning: 1, info: 2 } as const

function memberAttention({ nodeId, status, sinceMs }: AttentionFacts['members'][number]): Attention[] {
  if (status !== 'dead' && status !== 'suspect') return []
  const isDead = status === 'dead'
  return [
    {
      id: `node/${nodeId}`,
      severity: isDead ? 'error' : 'warning',
      title: isDead ? `Node ${nodeId} does not answer` : `Node ${nodeId} may be lost`,
      detail: isDead
        ? 'No member of the cluster reaches it any more.'
        : 'Some members cannot reach it; it is asked by others.',
      remedy: 'See whether the machine runs and its network is there; it comes back by itself.',
      node_id: nodeId,
      sinceMs,
    },
  ]
}

function serviceAttention({ name, wanted, running, healthy, failing }: ServiceFacts): Attention[] {
  const [first] = failing
  if (first) {
    const others = failing.length > 1 ? ` and ${failing.length - 1} more` : ''
    return [
      {
        id: `service/${name}`,
        severity: healthy === 0 ? 'error' : 'warning',
        title: `Service ${name} fails on ${first.nodeId}${others}`,
        detail: first.reason ?? 'It says that it is failing.',
        remedy: 'Read its log lines from that moment on; restart it, or roll it back if it was just deployed.',
        node_id: first.nodeId,
        service: name,
      },
    ]
  }
  if (running >= wanted) return []
  return [
    {
      id: `service/${name}`,
      severity: running === 0 ? 'error' : 'warning',
      title: `Service ${name} runs ${running} of ${wanted}`,
      detail: `${wanted - running} more should run.`,
      remedy: 'See on its page what keeps the others from starting.',
      service: name,
      isPassing: true,
    },
  ]
}

function certificateAttention({ nodeId, certificate }: MachineFacts, nowMs: number): Attention[] {
  if (!certificate) return []
  const { notBeforeMs, notAfterMs } = certificate
  const leftMs = notAfterMs - nowMs
  const lifeMs = notAfterMs - notBeforeMs
  if (leftMs > Math.min(CERTIFICATE_WARNING_MS, lifeMs / 3)) return []
  const isUrgent = leftMs <= Math.min(CERTIFICATE_ERROR_MS, lifeMs / 10)
  return [
    {
      id: `certificate/${nodeId}`,
      severity: isUrgent ? 'error' : 'warning',
      title:
        leftMs > 0 ? `The certificate of ${nodeId} ends ${inTime(leftMs)}` : `The certificate of ${nodeId} has ended`,
      detail: 'It should have been renewed by now.',
      remedy: `Look for "certificate" in the log of ${nodeId}: it says what keeps it from being renewed.`,
      node_id: nodeId,
    },
  ]
}

function diskAttention({ nodeId, disk, diskPercentPerHour }: MachineFacts): Attention[] {
  const hoursLeft = diskPercentPerHour > 0 ? (100 - disk.percent) / diskPercentPerHour : Number.POSITIVE_INFINITY
  if (disk.percent < DISK_WARNING_PERCENT && hoursLeft > DISK_FULL_WARNING_HOURS) return []
  const full =
    Number.isFinite(hoursLeft) && hoursLeft < 30 * 24 ? ` At this rate it is full ${inTime(hoursLeft * HOUR_MS)}.` : ''
  return [
    {
      id: `disk/${nodeId}`,
      severity: disk.percent >= DISK_ERROR_PERCENT ? 'error' : 'warning',
      title: `The disk of ${nodeId} is ${Math.floor(disk.percent)} % full`,
      detail: `${(disk.free / 2 ** 30).toFixed(1)} GiB are free.${full}`,
      remedy: 'Make room, or give the file system of state_directory more.',
      node_id: nodeId,
    },
  ]
}

function clockAttention({ nodeId, clockBehindMs }: MachineFacts): Attention[] {
  const offMs = Math.abs(clockBehindMs)
  if (offMs < CLOCK_WARNING_MS) return []
  return [
    {
      id: `clock/${nodeId}`,
      severity: offMs >= CLOCK_ERROR_MS ? 'error' : 'warning',
      title: `The clock of ${nodeId} is ${Math.round(offMs / 1_000)} s ${clockBehindMs > 0 ? 'behind' : 'ahead'}`,
      detail: "Compared with this coordinator's clock. Certificates and tokens are checked by it.",
      remedy: 'Let both machines take their time from a time server (NTP).',
      node_id: nodeId,
    },
  ]
}

/** `in 3 days`, `in 5 hours`, `in 20 minutes`. */
function inTime(ms: number): string {
  const days = Math.floor(ms / DAY_MS)
  const hours = Math.floor(ms / HOUR_MS)
  if (days >= 2) return `in ${days} days`
  return hours >= 2 ? `in ${hours} hours` : `in ${Math.max(1, Math.round(ms / 60_000))} minutes`
}
