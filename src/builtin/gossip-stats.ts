import { z } from 'zod'
import type { Membership } from '../base/member.ts'
import type { Peers } from '../base/peer.ts'
import type { Clock } from '../base/time.ts'
import { method } from '../service/index.ts'

/** What the gossip layer counts: since the start, except where it is about now. */
export interface GossipCounters {
  framesSent: number
  bytesSent: number
  framesReceived: number
  bytesReceived: number
  bytesSaved: number
  /** By reason. */
  dropped: Readonly<Record<string, number>>
  unsent: number
  /** Now. */
  rumoursQueued: number
  rumoursDropped: number
  /** Now, 0 to 7. */
  healthScore: number
  probesFailed: number
  refutations: number
  stateExchanges: number
  /** Now. */
  intervalMs: number
  intervalReason: string
}

export interface GossipStatsNeeds {
  clock: Clock
  gossip: Pick<Membership, 'self' | 'members'> & { stats(): GossipCounters }
  peers: Pick<Peers, 'list'>
}

const TRAFFIC = z.object({
  frames: z.number(),
  bytes: z.number().describe('As they go over the sessions, after compression'),
  bytes_per_second: z.number().describe('On average since the start'),
})

const GOSSIP_STATS = z.object({
  node_id: z.string(),
  uptime_seconds: z.number(),
  health_score: z.number().describe('0 healthy to 7; each point makes this node slower to suspect others'),
  rumours: z.object({ queued: z.number().describe('Waiting to be passed on now'), dropped: z.number() }),
  suspects: z.array(z.object({ node_id: z.string(), since: z.string().describe('ISO 8601, UTC') })),
  probes_failed: z.number(),
  refutations: z.number().describe('Claims about this node that it denied'),
  interval_seconds: z.number().describe('Time between two state exchanges now'),
  interval_reason: z.string(),
  state_exchanges: z.number(),
  sent: TRAFFIC,
  received: TRAFFIC,
  bytes_saved: z.number().describe('By compression'),
  unsent: z.number().describe('Frames for peers that could not be reached or did not read'),
  dropped: z.record(z.string(), z.number()).describe('Received and not used, by reason'),
  sessions: z
    .array(z.object({ node_id: z.string(), address: z.string(), opened_here: z.boolean() }))
    .describe('Open channels to other nodes'),
})

/** The method `get_gossip_stats`: how this node keeps up with the membership, and what that costs. */
export function gossipStatsMethod({ clock, gossip, peers }: GossipStatsNeeds) {
  return method({
    description: 'Tells how this node keeps up with the membership: rumours, suspicions, traffic, sessions',
    public: true,
    requiredRole: 'viewer',
    params: z.strictObject({}),
    result: GOSSIP_STATS,
    handler() {
      const stats = gossip.stats()
      const { nodeId, startedAtMs } = gossip.self().record
      const uptimeSeconds = Math.max(1, Math.round((clock.wallMs() - startedAtMs) / 1_000))
      const traffic = (frames: number, bytes: number): z.infer<typeof TRAFFIC> => ({
        frames,
        bytes,
        bytes_per_second: Math.round(bytes / uptimeSeconds),
      })
      return {
        node_id: nodeId,
        uptime_seconds: uptimeSeconds,
        health_score: stats.healthScore,
        rumours: { queued: stats.rumoursQueued, dropped: stats.rumoursDropped },
        suspects: gossip
          .members()
          .filter(({ status }) => status === 'suspect')
          .map(({ record, sinceMs }) => ({ node_id: record.nodeId, since: new Date(sinceMs).toISOString() })),
        probes_failed: stats.probesFailed,
        refutations: stats.refutations,
        interval_seconds: stats.intervalMs / 1_000,
        interval_reason: stats.intervalReason,
        state_exchanges: stats.stateExchanges,
        sent: traffic(stats.framesSent, stats.bytesSent),
        received: traffic(stats.framesReceived, stats.bytesReceived),
        bytes_saved: stats.bytesSaved,
        unsent: stats.unsent,
        dropped: { ...stats.dropped },
        sessions: peers.list().map(({ peer, remoteAddress, dialled }) => ({
          node_id: peer.nodeId,
          address: remoteAddress,
          opened_here: dialled,
        })),
      }
    },
  })
}
