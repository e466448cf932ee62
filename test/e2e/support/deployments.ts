import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { packBundle } from '../../../src/deploy/index.ts'
import type { NodeApi } from './node-api.ts'
import { eventually } from './node-process.ts'

export interface Rollout {
  generation: number
  to_version: string
  state: 'running' | 'succeeded' | 'rolled-back' | 'failed' | 'superseded'
  reason?: string | null
}

export interface DeploymentStatus {
  deployment: { generation: number; version: string; count: number | 'every' }
  healthy: number
  running: number
  wanted: number
  instances: { node_id: string; id: string; version: string; generation: number; state: string; health: string }[]
  rollout?: Rollout
  problems: string[]
  job?: { runs: { node_id: string; state: string; exit?: string }[] }
}

/** Any request to a coordinator; a body that is bytes is sent as they are. @throws what it answered when that is no success */
export function send<T>(api: NodeApi, method: string, path: string, body?: object): Promise<T> {
  const isBytes = body instanceof Uint8Array
  const payload = body === undefined || isBytes ? body : Buffer.from(JSON.stringify(body))
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, api.url),
      {
        method,
        ca: api.caCertificate,
        checkServerIdentity: () => undefined,
        agent: false,
        headers: {
          authorization: `Bearer ${api.accessToken}`,
          ...(payload && { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' }),
        },
      },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('end', () => {
          const isGood = (answer.statusCode ?? 500) < 300
          if (isGood) resolve((text === '' ? undefined : JSON.parse(text)) as T)
          else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`))
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(payload)
  })
}

/** Writes a service's folder, packs it and brings it to the coordinator. @returns the bundle's digest */
export async function upload(api: NodeApi, folder: string, files: Record<string, string | object>): Promise<string> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  const output = `${folder}.bundle`
  rmSync(output, { force: true })
  const { digest, sizeBytes } = await packBundle(folder, output)
  await send(api, 'POST', '/api/artifacts', { digest, size_bytes: sizeBytes })
  const status = await send<{ artifact?: object }>(
    api,
    'PUT',
    `/api/artifacts/${digest}?offset=0`,
    new Uint8Array(readFileSync(output)),
  )
  assert.ok(status.artifact, JSON.stringify(status))
  return digest
}

export function statusOf(api: NodeApi, service: string): Promise<DeploymentStatus> {
  return send(api, 'GET', `/api/deployments/${service}`)
}

/** Resolves with the rollout of the newest change when it has ended. */
export async function ended(api: NodeApi, service: string): Promise<Rollout> {
  const { rollout } = await eventually(
    () => statusOf(api, service),
    (status) => status.rollout?.state !== 'running',
    600,
  )
  assert.ok(rollout)
  return rollout
}

/** Resolves when the newest change has ended well. */
export async function succeeded(api: NodeApi, service: string): Promise<void> {
  const { state } = await ended(api, service)
  if (state !== 'succeeded') assert.fail(JSON.stringify(await statusOf(api, service), null, 1))
}

/** `{ 'worker-1': 2 }`: instances that are running and healthy, by node. */
export function healthyByNode({ instances }: DeploymentStatus): Record<string, number> {
  const found: Record<string, number> = {}
  for (const { node_id: nodeId, state, health } of instances) {
    if (state === 'running' && health === 'healthy') found[nodeId] = (found[nodeId] ?? 0) + 1
  }
  return found
}
