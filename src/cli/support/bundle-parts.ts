import { arch, cpus, platform, release, totalmem } from 'node:os'
import { messageOf } from '../../base/errors.ts'
import { VERSION } from '../../base/version.ts'
import { callMethod } from '../session/call-method.ts'
import type { Session } from '../session/connect.ts'
import type { ClusterNodes, LogLine } from '../session/wire.ts'
import { redacted } from './redact.ts'

/** One file of a support bundle: JSON, without secrets. */
export interface BundleFile {
  name: string
  text: string
}

export interface BundleParts {
  files: BundleFile[]
  /** What could not be read, and why: a cluster that is asked for help rarely answers everything. */
  missing: { name: string; why: string }[]
}

interface Deployments {
  deployments: { deployment: { service: string } }[]
}

const LINES_PER_PAGE = 1_000
/** Nodes that are asked one by one. */
const NODES_MAX = 200
const CALL_MS_MAX = 5_000
const EVENTS_MAX = 500

/**
 * Asks a coordinator for everything that helps to see what is wrong, and nothing that gives access. What cannot be read is
 * noted, and the rest comes.
 * @param onPart told the name of what is read next
 */
export async function bundleParts(
  session: Session,
  { lines, wallMs, onPart }: { lines: number; wallMs: number; onPart: (name: string) => void },
): Promise<BundleParts> {
  const parts: BundleParts = { files: [], missing: [] }
  const add = async <T>(name: string, read: () => Promise<T>): Promise<T | undefined> => {
    onPart(name)
    try {
      const data = await read()
      parts.files.push({ name, text: `${JSON.stringify(redacted(data), null, 2)}\n` })
      return data
    } catch (error) {
      parts.missing.push({ name, why: messageOf(error) })
      return undefined
    }
  }
  const get = (path: string) => (): Promise<unknown> => session.call({ method: 'GET', path })

  await add('machine.json', async () => machineFacts())
  await add('status.json', get('/api/status'))
  const members = (await add('members.json', get('/cluster/nodes'))) as ClusterNodes | undefined
  await add('services.json', get('/services'))
  const deployed = (await add('deployments.json', get('/api/deployments'))) as Deployments | undefined
  for (const { deployment } of deployed?.deployments ?? []) {
    const { service } = deployment
    const path = `/api/deployments/${encodeURIComponent(service)}/history`
    await add(`deployments/${fileName(service)}.json`, get(path))
  }
  await add('metrics.json', get('/api/dashboard/full-data'))
  await add('node-metrics.json', get('/metrics?format=json'))
  await add('certificates.json', get('/api/ca'))
  await add('pending.json', get('/api/nodes/pending'))
  await add('alerts.json', get('/api/alerts'))
  await add('events.json', get(`/api/events?limit=${EVENTS_MAX}`))
  await add('audit.json', get('/api/audit?limit=1000'))
  const alive = (members?.nodes ?? []).filter(({ status }) => status === 'alive').slice(0, NODES_MAX)
  for (const { node_id: node } of alive) {
    const call = (method: string) => () => callMethod(session, { method, node, timeoutMs: CALL_MS_MAX })
    await add(`nodes/${fileName(node)}/config.json`, call('system/get_config'))
    await add(`nodes/${fileName(node)}/machine.json`, call('system/get_system_info'))
    await add(`nodes/${fileName(node)}/gossip.json`, call('system/get_gossip_stats'))
    await add(`nodes/${fileName(node)}/log-collector.json`, call('log_collector/get_stats'))
  }
  onPart('logs.jsonl')
  try {
    const last = await lastLines(session, lines)
    parts.files.push({ name: 'logs.jsonl', text: last.map((line) => `${JSON.stringify(redacted(line))}\n`).join('') })
  } catch (error) {
    parts.missing.push({ name: 'logs.jsonl', why: messageOf(error) })
  }
  const contents = {
    created_at: new Date(wallMs).toISOString(),
    p2p_version: VERSION,
    asked: session.url,
    files: parts.files.map(({ name }) => name),
    missing: parts.missing,
  }
  parts.files.unshift({ name: 'contents.json', text: `${JSON.stringify(redacted(contents), null, 2)}\n` })
  return parts
}

function machineFacts() {
  return {
    p2p_version: VERSION,
    node: process.versions.node,
    v8: process.versions.v8,
    openssl: process.versions.openssl,
    platform: platform(),
    release: release(),
    arch: arch(),
    cpus: cpus().length,
    memory_bytes: totalmem(),
  }
}

interface LogPage {
  logs: (LogLine & { cursor?: number })[]
  next_cursor?: number | null
}

/** Oldest first. */
async function lastLines(session: Session, count: number): Promise<LogLine[]> {
  const found: LogLine[] = []
  let cursor: number | undefined
  do {
    const query = new URLSearchParams({ limit: String(Math.min(LINES_PER_PAGE, count - found.length)) })
    if (cursor !== undefined) query.set('cursor', String(cursor))
    const page = await session.call<LogPage>({ method: 'GET', path: `/api/logs?${query.toString()}` })
    found.push(...page.logs)
    cursor = page.logs.length === 0 ? undefined : (page.next_cursor ?? undefined)
  } while (cursor !== undefined && found.length < count)
  return found.toReversed()
}

/** Names of nodes and services are words already; a node that is asked may say otherwise. */
function fileName(name: string): string {
  return name
    .replace(/[^\w.-]/g, '_')
    .replace(/^\.+/, '_')
    .slice(0, 64)
}
