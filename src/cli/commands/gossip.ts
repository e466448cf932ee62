import { formatBytes } from '../../base/bytes.ts'
import type { CliHost } from '../host.ts'
import { relativeTime, spanText } from '../output/relative-time.ts'
import { facts, type OutputFormat, show, table } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { callMethod } from '../session/call-method.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import type { GossipStats } from '../session/wire.ts'

interface GossipFlags extends ConnectionFlags {
  node?: string
  output: OutputFormat
}

/** `p2p gossip` */
export async function gossip(host: CliHost, flags: GossipFlags): Promise<void> {
  const session = await connect(host, flags)
  const call = { method: 'system/get_gossip_stats', node: flags.node ?? 'local' }
  const stats = (await callMethod(session, call)) as GossipStats
  await show(host, flags.output, stats, () => `${overview(host, stats)}${sessions(host, stats)}`)
}

function overview(host: CliHost, stats: GossipStats): string {
  const { rumours, suspects, sent, received } = stats
  const since = (iso: string): string => relativeTime(Date.parse(iso), host.wallMs())
  const unusable = Object.entries(stats.dropped).filter(([, count]) => count > 0)
  return facts(host, [
    ['Node', `${plain(stats.node_id)}, for ${spanText(stats.uptime_seconds * 1_000)}`],
    [
      'Health',
      stats.health_score === 0 ? '0 (healthy)' : `${stats.health_score} of 7: slow itself, so slow to suspect others`,
    ],
    ['Rumours', `${rumours.queued} to pass on${rumours.dropped > 0 ? `, ${rumours.dropped} dropped` : ''}`],
    [
      'Suspects',
      suspects.map(({ node_id, since: begin }) => `${plain(node_id)} (${since(begin)})`).join(', ') || 'none',
    ],
    ['Probes', `${stats.probes_failed} failed; ${stats.refutations} claims about this node refuted`],
    [
      'Exchange',
      `every ${stats.interval_seconds} s (${plain(stats.interval_reason)}); ${stats.state_exchanges} so far`,
    ],
    ['Sent', trafficText(sent)],
    ['Received', trafficText(received)],
    ['Saved', `${formatBytes(stats.bytes_saved)} by compression`],
    ['Not sent', stats.unsent > 0 ? `${stats.unsent} frames: peers out of reach or not reading` : undefined],
    ['Not used', unusable.map(([reason, count]) => `${count} ${plain(reason)}`).join(', ') || undefined],
  ])
}

function trafficText({ bytes, frames, bytes_per_second }: GossipStats['sent']): string {
  return `${formatBytes(bytes)} in ${frames} frames, ${formatBytes(bytes_per_second)}/s since the start`
}

function sessions(host: CliHost, stats: GossipStats): string {
  if (stats.sessions.length === 0) return '\nNo session with another node is open\n'
  const rows = table(host, stats.sessions, [
    { title: 'SESSION WITH', value: (session) => session.node_id },
    { title: 'ADDRESS', value: (session) => session.address },
    { title: 'OPENED BY', value: (session) => (session.opened_here ? stats.node_id : session.node_id) },
  ])
  return `\n${rows}`
}
