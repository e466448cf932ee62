import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { CliError, messageOf } from '../../base/errors.ts'
import { parseDuration } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import type { DeployBody } from '../session/deployments.ts'

/** What `p2p deploy` and `p2p plan` say of a deployment besides its bundle. */
export interface DeployFlags {
  count?: number | 'every'
  every?: boolean
  label?: string[]
  spreadBy?: string
  perNode?: number
  memory?: number
  cpus?: number
  after?: string[]
  healthyFor?: string
  deadline?: string
  once?: boolean
  cron?: string
  timeZone?: string
  retries?: number
  /** false: `--no-job`. */
  job?: boolean
  strategy?: 'rolling' | 'canary' | 'all-at-once'
  batch?: number
  watch?: string
  config?: string
  secret?: string[]
  grant?: string[]
  force?: boolean
  reason?: string
}

/** @throws {CliError} P2P_CLI_USAGE naming the flag */
export async function deployBody(host: CliHost, flags: DeployFlags): Promise<DeployBody> {
  if (flags.every && flags.count !== undefined) throw usage('--count and --every exclude each other; give one of them')
  const count = flags.every ? 'every' : flags.count
  const update = updateOf(flags)
  const placement = placementOf(flags)
  const job = jobOf(flags)
  const healthyMs = durationOf('--healthy-for', flags.healthyFor)
  const deadlineMs = durationOf('--deadline', flags.deadline)
  return {
    ...(count !== undefined && { count }),
    ...(placement && { placement }),
    ...(update && { update }),
    ...(job !== undefined && { job }),
    ...(healthyMs !== undefined && { healthy_ms: healthyMs }),
    ...(deadlineMs !== undefined && { deadline_ms: deadlineMs }),
    ...(flags.after && { depends_on: flags.after.map(dependencyOf) }),
    ...((flags.memory ?? flags.cpus) !== undefined && {
      reserve: { memory_mb: flags.memory ?? 0, cpus: flags.cpus ?? 0 },
    }),
    ...(flags.config !== undefined && { config: await readConfig(host, flags.config) }),
    ...(flags.secret && { secrets: pairs('--secret', flags.secret) }),
    ...(flags.grant && { granted: grantedOf(flags.grant) }),
    ...(flags.force && { force: true }),
    ...(flags.reason !== undefined && { reason: flags.reason }),
  }
}

function placementOf({ label, spreadBy, perNode }: DeployFlags): DeployBody['placement'] {
  if (!label && spreadBy === undefined && perNode === undefined) return undefined
  return {
    labels: pairs('--label', label ?? []),
    ...(spreadBy !== undefined && { spread_by: spreadBy }),
    ...(perNode !== undefined && { per_node_max: perNode }),
  }
}

const RETRIES_DEFAULT = 3

function jobOf({ once, cron, timeZone, retries, job }: DeployFlags): DeployBody['job'] {
  if (once && cron !== undefined) throw usage('--once and --cron exclude each other; give one of them')
  if (timeZone !== undefined && cron === undefined) throw usage('--time-zone goes with --cron')
  if (retries !== undefined && !once && cron === undefined) throw usage('--retries goes with --once or --cron')
  if (job === false) {
    if (once || cron !== undefined) throw usage('--no-job excludes --once and --cron; give one of them')
    return null
  }
  const tries = { retries: retries ?? RETRIES_DEFAULT }
  if (cron !== undefined) return { kind: 'cron', schedule: cron, time_zone: timeZone ?? 'UTC', ...tries }
  return once ? { kind: 'once', ...tries } : undefined
}

/** `stock`, or `stock=healthy`. */
function dependencyOf(text: string): { service: string; healthy: boolean } {
  const [service = '', condition, ...rest] = text.split('=')
  if (service !== '' && (condition === undefined || condition === 'healthy') && rest.length === 0) {
    return { service, healthy: condition === 'healthy' }
  }
  throw usage(`--after "${text}" is neither SERVICE nor SERVICE=healthy`)
}

const WATCH_MS_DEFAULT = 60_000

function updateOf({ strategy, batch, watch }: DeployFlags): DeployBody['update'] {
  if (watch !== undefined && strategy !== 'canary') throw usage('--watch goes with --strategy canary')
  if (batch !== undefined && (strategy === undefined || strategy === 'all-at-once')) {
    throw usage('--batch goes with --strategy rolling or canary')
  }
  switch (strategy) {
    case undefined:
      return undefined
    case 'rolling':
      return { kind: 'rolling', batch: batch ?? 1 }
    case 'canary':
      return { kind: 'canary', nodes: 1, watch_ms: durationOf('--watch', watch) ?? WATCH_MS_DEFAULT, batch: batch ?? 1 }
    case 'all-at-once':
      return { kind: 'all-at-once' }
  }
}

function durationOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const durationMs = parseDuration(text)
  if (durationMs !== undefined) return durationMs
  throw usage(`${flag} "${text}" is not a duration; it looks like 30s or 5m`)
}

/** `name=value` texts; a name given twice is a mistake. */
function pairs(flag: string, texts: readonly string[]): Record<string, string> {
  const found = new Map<string, string>()
  for (const text of texts) {
    const at = text.indexOf('=')
    if (at < 1 || at === text.length - 1) throw usage(`${flag} "${text}" is not of the form name=value`)
    const name = text.slice(0, at)
    if (found.has(name)) throw usage(`${flag} ${name} is given twice`)
    found.set(name, text.slice(at + 1))
  }
  return Object.fromEntries(found)
}

/** `net,childProcess,read=/srv/data` in one flag or several. */
function grantedOf(texts: readonly string[]): NonNullable<DeployBody['granted']> {
  const granted = { net: false, child_process: false, read: [] as string[], write: [] as string[] }
  for (const word of texts.flatMap((text) => text.split(',')).map((text) => text.trim())) {
    const [, kind, path] = /^(read|write)=(\/.*|[A-Za-z]:[\\/].*)$/.exec(word) ?? []
    if (word === 'net') granted.net = true
    else if (word === 'childProcess') granted.child_process = true
    else if (kind !== undefined && path !== undefined) granted[kind as 'read' | 'write'].push(path)
    else if (word !== 'none') {
      throw usage(
        `--grant "${word}" is no permission; there are net, childProcess, read=PATH, write=PATH (absolute paths), and none`,
      )
    }
  }
  return granted
}

/** JSON is YAML as well. */
async function readConfig(host: CliHost, file: string): Promise<Record<string, unknown>> {
  let value: unknown
  try {
    const text = readFileSync(resolve(host.workingDirectory, file), 'utf8')
    const { parse } = await import('yaml')
    value = parse(text)
  } catch (error) {
    throw new CliError('P2P_CLI_USAGE', `--config ${file} cannot be read: ${messageOf(error)}`, {}, { cause: error })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw usage(`--config ${file} must hold names and values (YAML or JSON)`)
}

function usage(message: string): CliError {
  return new CliError('P2P_CLI_USAGE', message)
}
