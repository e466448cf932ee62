import type { CaDescription, IssuedCertificate } from '../../base/enrolment.ts'
import type { CliHost } from '../host.ts'
import { relativeTime, spanText } from '../output/relative-time.ts'
import { facts, type OutputFormat, show, table } from '../output/show.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'

/** `p2p ca show` */
export async function showCa(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const session = await connect(host, flags)
  const ca = await session.call<CaDescription>({ method: 'GET', path: '/api/ca' })
  const nowMs = host.wallMs()
  await show(host, flags.output, ca, () => {
    const head = facts(host, [
      ['Cluster', ca.cluster],
      ['Fingerprint', ca.ca_fingerprint],
      ['Ends', relativeTime(ca.not_after_ms, nowMs)],
      ['Node certificates', `${spanText(ca.leaf_lifetime_ms)} each`],
    ])
    const issued = table(host, ca.issued, [
      { title: 'NODE', value: (leaf) => leaf.node_id },
      { title: 'ROLE', value: (leaf) => leaf.role },
      { title: 'STATE', value: (leaf) => stateOf(leaf, nowMs).text, style: (leaf) => stateOf(leaf, nowMs).style },
      { title: 'ISSUED', value: (leaf) => relativeTime(leaf.not_before_ms, nowMs) },
      { title: 'SERIAL', value: (leaf) => leaf.serial },
    ])
    return `${head}\n${issued}`
  })
}

function stateOf(leaf: IssuedCertificate, nowMs: number): { text: string; style: 'red' | 'dim' | 'green' } {
  if (leaf.revoked_at_ms !== undefined)
    return { text: `revoked ${relativeTime(leaf.revoked_at_ms, nowMs)}`, style: 'red' }
  const end = relativeTime(leaf.not_after_ms, nowMs)
  return leaf.not_after_ms < nowMs ? { text: `ended ${end}`, style: 'dim' } : { text: `ends ${end}`, style: 'green' }
}
