import { createServer } from 'node:net'
import { request } from 'node:https'
import { formatAddress, type NodeConfig } from '../../config/index.ts'
import { type Finding, ok, problem, skipped, warning } from './finding.ts'

/** Joining allows this much: a nonce is good for a minute. */
const CLOCK_SKEW_MS_MAX = 60_000
const TIMEOUT_MS = 5_000

/** Whether the node can listen where it is told to; when something else does already, whether that is a node. */
export async function checkPorts(config: NodeConfig): Promise<Finding[]> {
  const findings = [await checkPort('Port', config.port, config.bindAddress)]
  if (config.role === 'worker')
    findings.push(await checkPort('Challenge port', config.challengePort, config.bindAddress))
  return findings
}

async function checkPort(check: string, port: number, host: string): Promise<Finding> {
  const address = formatAddress(host, port)
  if (port === 0) return ok(check, 'the system chooses one')
  const code = await listenFailure(port, host)
  if (code === undefined) return ok(check, `${address} is free`)
  if (code === 'EADDRNOTAVAIL')
    return problem(check, `${host} is not an address of this machine`, 'correct bind_address, or use 0.0.0.0')
  if (code === 'EACCES') return problem(check, `this user may not listen on ${address}`, 'use a port from 1024 on')
  if (code !== 'EADDRINUSE')
    return problem(check, `${address} cannot be used (${code})`, 'choose another port or bind_address')
  const local = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  if (await answersAsNode(formatAddress(local, port))) return ok(check, `a node answers on ${address} already`)
  return problem(check, `another program listens on ${address}`, 'stop it, or choose another port')
}

/** @returns the system's error code, or undefined when it can be listened on */
function listenFailure(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}

interface HealthAnswer {
  isNode: boolean
  /** The other side's wall clock, to the second. */
  dateMs: number | undefined
}

async function answersAsNode(address: string): Promise<boolean> {
  return (await askHealth(`https://${address}`).catch(() => undefined))?.isNode === true
}

/** Asks who is there. Anybody may answer, so nothing secret is sent and nothing received is trusted. */
function askHealth(url: string): Promise<HealthAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL('/health', url),
      { rejectUnauthorized: false, agent: false, timeout: TIMEOUT_MS },
      (incoming) => {
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (chunk: string) => {
          text = (text + chunk).slice(0, 65_536)
        })
        incoming.on('end', () => {
          const dateMs = Date.parse(incoming.headers.date ?? '')
          resolve({
            isNode: /"status":\s*"(healthy|degraded)"/.test(text),
            dateMs: Number.isNaN(dateMs) ? undefined : dateMs,
          })
        })
        incoming.on('error', reject)
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })))
    outgoing.on('error', reject)
    outgoing.end()
  })
}

/** Whether each coordinator answers, and agrees with this machine about the time. */
export async function checkCoordinators(config: NodeConfig, wallMs: () => number): Promise<Finding[]> {
  return (await Promise.all(config.coordinatorAddresses.map((address) => checkCoordinator(address, wallMs)))).flat()
}

async function checkCoordinator(address: string, wallMs: () => number): Promise<Finding[]> {
  let answer: HealthAnswer
  try {
    answer = await askHealth(`https://${address}`)
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message
    return [
      problem(
        'Coordinator',
        `${address} does not answer (${reason})`,
        'start it, or correct coordinator_addresses; a firewall must let the port through',
      ),
    ]
  }
  if (!answer.isNode)
    return [
      problem('Coordinator', `${address} answers, but not as a node of P2P Core`, 'correct coordinator_addresses'),
    ]
  return [ok('Coordinator', `${address} answers`), checkClock(address, answer.dateMs, wallMs())]
}

function checkClock(address: string, dateMs: number | undefined, nowMs: number): Finding {
  if (dateMs === undefined) return skipped('Clock', `${address} does not tell the time`)
  const skewMs = nowMs - dateMs
  const text = `${Math.round(Math.abs(skewMs) / 1_000)} s ${skewMs > 0 ? 'ahead of' : 'behind'} ${address}`
  if (Math.abs(skewMs) > CLOCK_SKEW_MS_MAX)
    return problem('Clock', text, 'set the clock of the wrong one of the two; let NTP keep both')
  return Math.abs(skewMs) > 5_000
    ? warning('Clock', text, 'let NTP keep both clocks')
    : ok('Clock', 'agrees with the coordinator')
}
