/*
 * Certificates per second of the CA, from CSR to recorded chain, with the longest time the event loop was held up
 * meanwhile, and beside it that of an idle loop in the same run. The control store is in memory: what a commit costs
 * is measured by bench/vault.ts.
 *
 *   node --conditions=source bench/certificates.ts [--rounds 5] [--certificates 300]
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { silentLogger } from '../src/base/log.ts'
import { createCertificateAuthority } from '../src/pki/coordinator/index.ts'
import { createCsr, generateNodeKey } from '../src/pki/x509/csr.ts'
import { systemClock, systemRandom } from '../src/platform/index.ts'
import { MemoryStore } from '../test/unit/pki/memory-store.ts'

export interface CertificatesBenchOptions {
  rounds: number
  /** Asked for at once in each round. */
  certificates: number
}

export interface CertificatesBenchRound {
  certificatesPerSecond: number
  loopDelayMsMax: number
  loopDelayMsP99: number
  /** Most processor time the main thread took between two turns of the loop: the same question without what other processes add. */
  turnCpuMsMax: number
  /** Of an idle loop over the same time: what the machine itself adds. */
  idleLoopDelayMsMax: number
}

/** Measures rounds of many certificates asked for at once. */
export async function benchCertificates(options: CertificatesBenchOptions): Promise<CertificatesBenchRound[]> {
  const needs = { store: new MemoryStore(), clock: systemClock, random: systemRandom, log: silentLogger }
  const ca = createCertificateAuthority(needs)
  await ca.start(new AbortController().signal)
  const csrs = await Promise.all(
    Array.from({ length: options.certificates }, async (_, i) => createCsr(await generateNodeKey(), `node-${i}`)),
  )
  const issue = async (pem: string, i: number): Promise<void> => {
    const csr = await ca.readCsr(pem)
    const identity = { nodeId: `node-${i}`, role: 'worker' as const }
    await ca.issue({ csr, identity, dnsNames: [`node-${i}.test`], ipAddresses: ['10.0.0.1', 'fd00::1'] })
  }
  const rounds: CertificatesBenchRound[] = []
  for (let round = 0; round < options.rounds; round++) {
    const startedMs = performance.now()
    const busy = await loopDelayDuring(() => Promise.all(csrs.map(issue)))
    const tookMs = performance.now() - startedMs
    const turnCpuMsMax = await turnCpuDuring(() => Promise.all(csrs.map(issue)))
    const idle = await loopDelayDuring(() => setTimeout(tookMs))
    rounds.push({
      certificatesPerSecond: (options.certificates / tookMs) * 1_000,
      loopDelayMsMax: busy.maxMs,
      loopDelayMsP99: busy.p99Ms,
      turnCpuMsMax,
      idleLoopDelayMsMax: idle.maxMs,
    })
  }
  return rounds
}

/** How late the event loop was; the 1 ms between two looks is not its fault. */
async function loopDelayDuring(task: () => Promise<unknown>): Promise<{ maxMs: number; p99Ms: number }> {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  await task()
  histogram.disable()
  return { maxMs: histogram.max / 1e6 - 1, p99Ms: histogram.percentile(99) / 1e6 - 1 }
}

async function turnCpuDuring(task: () => Promise<unknown>): Promise<number> {
  let maxMs = 0
  let isDone = false
  let before = process.threadCpuUsage()
  const turn = (): void => {
    const { user, system } = process.threadCpuUsage(before)
    maxMs = Math.max(maxMs, (user + system) / 1_000)
    before = process.threadCpuUsage()
    if (!isDone) setImmediate(turn)
  }
  turn()
  await task()
  isDone = true
  return maxMs
}

function spread(values: number[], digits: number): string {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted[Math.floor(sorted.length / 2)] as number
  return `${middle.toFixed(digits)} (${sorted[0]?.toFixed(digits)}–${sorted.at(-1)?.toFixed(digits)}, n=${sorted.length})`
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '5' }, certificates: { type: 'string', default: '300' } },
  })
  const rounds = await benchCertificates({ rounds: Number(values.rounds), certificates: Number(values.certificates) })
  const row = (name: string, value: (round: CertificatesBenchRound) => number, digits: number): void =>
    console.log(`${name.padEnd(36)} ${spread(rounds.map(value), digits)}`)
  row('certificates/s', (round) => round.certificatesPerSecond, 0)
  row('event loop delay p99, ms', (round) => round.loopDelayMsP99, 1)
  row('event loop delay max, ms', (round) => round.loopDelayMsMax, 1)
  row('processor time in one turn max, ms', (round) => round.turnCpuMsMax, 1)
  row('event loop delay max when idle, ms', (round) => round.idleLoopDelayMsMax, 1)
}
