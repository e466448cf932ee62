import { once } from 'node:events'
import { createServer as createHttp1Server, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Component } from '../../../../src/base/component.ts'
import type { NodeIdentity, NodeRole } from '../../../../src/base/identity.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import type { Member, MemberStatus, Membership } from '../../../../src/base/member.ts'
import { systemFiles, systemRandom } from '../../../../src/platform/index.ts'
import { createAuthenticator } from '../../../../src/service/auth/authenticator.ts'
import { createPeople } from '../../../../src/service/auth/people.ts'
import { createTokenIssuer } from '../../../../src/service/auth/token-issuer.ts'
import type { RpcRequest, ServiceDescription } from '../../../../src/service/definition/descriptor.ts'
import { createHttpApi } from '../../../../src/service/http/http-api.ts'
import type { HttpApiNeeds } from '../../../../src/service/http/http-needs.ts'
import type { ConnectionFacts, RouteHandler, Transport, UpgradeHandler } from '../../../../src/transport/index.ts'
import { ManualClock } from '../auth/manual-clock.ts'
import { MemoryStore } from '../auth/memory-store.ts'
import { UNRECORDED } from '../auth/unrecorded.ts'

type AnyRequest = IncomingMessage | Http2ServerRequest
type AnyResponse = ServerResponse | Http2ServerResponse

/** Routes and fallback over plain HTTP on loopback; who the connection belongs to is what the test says. */
export class StubTransport implements Pick<Transport, 'route' | 'fallback' | 'facts' | 'onUpgrade'> {
  readonly #routes = new Map<string, RouteHandler>()
  #fallback: ((request: AnyRequest, response: AnyResponse) => void) | undefined
  #upgrade: UpgradeHandler | undefined
  connection: ConnectionFacts = strangerConnection()

  get fastRoutes(): string[] {
    return [...this.#routes.keys()]
  }

  route(method: string, path: string, handler: RouteHandler): void {
    this.#routes.set(`${method} ${path}`, handler)
  }

  fallback(handler: (request: AnyRequest, response: AnyResponse) => void): void {
    this.#fallback = handler
  }

  onUpgrade(handler: UpgradeHandler): void {
    this.#upgrade = handler
  }

  upgrade(...request: Parameters<UpgradeHandler>): void {
    this.#upgrade?.(...request)
  }

  facts(): ConnectionFacts {
    return this.connection
  }

  handle(request: AnyRequest, response: AnyResponse): void {
    const url = new URL(request.url ?? '/', 'http://stub')
    const handler = this.#routes.get(`${request.method} ${url.pathname}`)
    if (handler) void this.#answer(handler, request as IncomingMessage, response as ServerResponse, url)
    else this.#fallback?.(request, response)
  }

  async #answer(handler: RouteHandler, request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const body = Buffer.concat(await request.toArray())
    const { signal } = new AbortController()
    const { method = '', headers } = request
    const facts = this.connection
    const answer = await handler({
      method,
      path: url.pathname,
      query: url.searchParams,
      headers,
      body: async () => body,
      connection: facts,
      signal,
    })
    response.writeHead(answer.status, answer.headers)
    response.end(answer.body)
  }
}

export function strangerConnection(remoteAddress = '192.0.2.7'): ConnectionFacts {
  const exporter = (): Uint8Array => new Uint8Array(32).fill(7)
  return {
    remoteAddress,
    remotePort: 5,
    tlsVersion: 'TLSv1.3',
    identity: undefined,
    serial: undefined,
    peerCertificateDer: undefined,
    exporter,
  }
}

export function nodeConnection(role: NodeRole): ConnectionFacts {
  const identity: NodeIdentity = { cluster: 'blue', role, nodeId: `${role}-9` }
  return { ...strangerConnection(), identity, serial: '0a', peerCertificateDer: new Uint8Array([48]) }
}

export function member(nodeId: string, role: NodeRole, status: MemberStatus = 'alive'): Member {
  return {
    record: {
      nodeId,
      role,
      cluster: 'blue',
      recordVersion: 1,
      softwareVersion: '3.0.0',
      addresses: [`10.0.0.${nodeId.length}:8001`, '[fd00::1]:8001'],
      services: [
        { name: 'inventory', version: '1.2.0', description: 'Hosts', health: 'healthy', methods: ['list'] },
        { name: 'watch', version: '1.0.0', description: 'Folders', health: 'failing', methods: [] },
      ],
      labels: { rack: 'a' },
      capacity: { cpus: 2, memoryBytes: 1_000 },
      certificateSerial: '0a',
      startedAtMs: Date.UTC(2026, 0, 1) - 60_000,
    },
    status,
    incarnation: 0,
    sinceMs: Date.UTC(2025, 11, 31),
  }
}

export function membershipOf(members: Member[]): Membership {
  return {
    self: () => members[0] as Member,
    members: () => members,
    get: (nodeId) => members.find(({ record }) => record.nodeId === nodeId),
    onChange: () => () => {},
  }
}

export const INVENTORY: ServiceDescription = {
  name: 'inventory',
  version: '1.2.0',
  description: 'Hosts of this node',
  status: 'running',
  health: 'healthy',
  isBuiltin: false,
  startedAtMs: Date.UTC(2026, 0, 1) - 30_000,
  methods: [
    {
      service: 'inventory',
      name: 'list',
      description: 'All hosts whose name begins with a prefix',
      isPublic: true,
      params: {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        properties: { prefix: { $ref: '#/$defs/name' } },
        $defs: { name: { type: 'string' } },
      },
      result: { type: 'array', items: { type: 'string' } },
      timeoutMs: 5_000,
      cacheTtlMs: 0,
      requiredRole: 'viewer',
    },
    {
      service: 'inventory',
      name: 'forget',
      description: 'For services of this node only',
      isPublic: false,
      timeoutMs: 5_000,
      cacheTtlMs: 0,
      requiredRole: 'admin',
    },
  ],
}

/** What an empty log answers. */
const LOG_COLLECTOR_ANSWERS: Record<string, unknown> = {
  'log_collector/get_logs': { logs: [], total: 0, limit: 100, offset: 0 },
  'log_collector/get_log_sources': { nodes: [], loggers: [], log_levels: ['INFO'] },
  'log_collector/clear_logs': { success: true, cleared: 0, node: 'coordinator-1' },
}

/** Tests look into answers of many shapes. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any

export interface Answer {
  status: number
  headers: Headers
  text: string
  json: () => Json
}

export interface StubNode {
  url: string
  clock: ManualClock
  transport: StubTransport
  api: Component
  credential: string
  /** Calls the RPC endpoint got. */
  calls: { body: string; request: RpcRequest }[]
  logged: string[]
  ask: (path: string, init?: RequestInit & { token?: string }) => Promise<Answer>
  tokenFor: (role: 'viewer' | 'operator' | 'admin') => Promise<string>
  [Symbol.asyncDispose]: () => Promise<void>
}

/** A node's HTTP surface with everything below it stubbed. By default a coordinator without an authority. */
export async function startStubNode(
  overrides: Partial<HttpApiNeeds> = {},
  options: { http2?: boolean; assetsDirectory?: string; loadApp?: Parameters<typeof createHttpApi>[2] } = {},
): Promise<StubNode> {
  const clock = new ManualClock()
  const transport = new StubTransport()
  const calls: StubNode['calls'] = []
  const logged: string[] = []
  const log = { ...silentLogger, error: (message: string) => void logged.push(message), child: () => log }
  const needs = { store: new MemoryStore(), clock, random: systemRandom, log: silentLogger }
  const issuer = createTokenIssuer(needs, { cluster: 'blue' })
  await issuer.start(AbortSignal.timeout(5_000))
  const people = createPeople({ ...needs, tokens: issuer }, { cluster: 'blue' })
  await people.start(AbortSignal.timeout(5_000))
  const credential = await issuer.ensureOperatorCredential(undefined)
  const authenticator = createAuthenticator(
    { clock, tokenKeys: () => [issuer.publicKeys()], isRevoked: (jti) => issuer.isRevoked(jti) },
    { cluster: () => 'blue', securityProfile: 'standard', bindAddress: '127.0.0.1' },
  )
  const api = createHttpApi(
    {
      clock,
      random: systemRandom,
      log,
      files: systemFiles,
      transport,
      authenticator,
      membership: membershipOf([member('coordinator-1', 'coordinator'), member('worker-1', 'worker', 'suspect')]),
      services: {
        list: () => [INVENTORY],
        get: (name) => (name === INVENTORY.name ? INVENTORY : undefined),
      },
      serviceMetrics: { methodMetrics: () => [], serviceMetrics: () => new Map() },
      rpc: {
        handleRpc: async (body, request) => {
          calls.push({ body: Buffer.from(body).toString(), request })
          return { status: 200, body: '{"jsonrpc":"2.0","result":1,"id":1}' }
        },
      },
      calls: { call: async (method) => LOG_COLLECTOR_ANSWERS[method] },
      nodeControl: { control: async () => {} },
      nodeFacts: () => ({}),
      tokenIssuer: issuer,
      people,
      ...overrides,
    },
    { assetsDirectory: options.assetsDirectory ?? '/nonexistent' },
    options.loadApp,
  )
  await api.start(AbortSignal.timeout(5_000))
  const onRequest = (request: AnyRequest, response: AnyResponse): void => transport.handle(request, response)
  const server = options.http2 ? createHttp2Server(onRequest) : createHttp1Server(onRequest)
  server.on('upgrade', (...request: Parameters<UpgradeHandler>) => transport.upgrade(...request))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    clock,
    transport,
    api,
    credential,
    calls,
    logged,
    ask: async (path, { token, ...init } = {}) => {
      const headers = new Headers(init.headers)
      if (token !== undefined) headers.set('authorization', `Bearer ${token}`)
      const response = await fetch(url + path, { ...init, headers, signal: AbortSignal.timeout(10_000) })
      const text = await response.text()
      return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) }
    },
    tokenFor: async (role) => (await issuer.issue(credential, { role, ttlS: 43_200, ...UNRECORDED })).access_token,
    [Symbol.asyncDispose]: async () => {
      if ('closeAllConnections' in server) server.closeAllConnections()
      server.close()
      await api.stop()
    },
  }
}

/** Body and headers of a JSON request. */
export function jsonBody(value: unknown, method = 'POST'): RequestInit {
  return { method, body: JSON.stringify(value), headers: { 'content-type': 'application/json' } }
}
