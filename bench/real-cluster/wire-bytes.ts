import { execFileSync } from 'node:child_process'

/** Counts what goes over loopback between members, IP and TCP or UDP headers included. */
export interface WireBytes {
  /** Bytes so far, by cluster label. */
  read(): Map<string, number>
  close(): void
}

/**
 * Counters of the packet filter, one for each cluster's ports; it lets everything pass. A packet of a TCP connection has a
 * member's listening port at one of its ends, and only one.
 * @returns undefined where this user may not set them
 */
export function countWireBytes(
  clusters: readonly { label: string; ports: readonly number[] }[],
): WireBytes | undefined {
  const table = `p2p_bench_${process.pid}`
  const lines = [`table inet ${table} {`]
  clusters.forEach((_, index) => lines.push(`  counter c${index} { }`))
  lines.push('  chain input {', '    type filter hook input priority 0; policy accept;')
  clusters.forEach(({ ports }, index) => {
    const set = `{ ${ports.join(', ')} }`
    lines.push(
      `    iifname "lo" tcp dport ${set} counter name c${index} accept`,
      `    iifname "lo" tcp sport ${set} counter name c${index} accept`,
      `    iifname "lo" udp dport ${set} counter name c${index} accept`,
    )
  })
  lines.push('  }', '}', '')
  try {
    execFileSync('nft', ['-f', '-'], { input: lines.join('\n'), stdio: ['pipe', 'ignore', 'ignore'] })
  } catch {
    return undefined
  }
  return {
    read() {
      const text = execFileSync('nft', ['-j', 'list', 'counters', 'table', 'inet', table], { encoding: 'utf8' })
      const { nftables } = JSON.parse(text) as { nftables: { counter?: { name: string; bytes: number } }[] }
      return new Map(
        clusters.map(({ label }, index) => [
          label,
          nftables.find(({ counter }) => counter?.name === `c${index}`)?.counter?.bytes ?? 0,
        ]),
      )
    },
    close: () => void execFileSync('nft', ['delete', 'table', 'inet', table]),
  }
}
