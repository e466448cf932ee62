import { randomBytes } from 'node:crypto'
import type { Component } from '../../../src/base/component.ts'
import type { CertificateRequest, Enrolment, EnrolmentConnection, TrustAdmin } from '../../../src/base/enrolment.ts'
import { P2PError } from '../../../src/base/errors.ts'
import {
  type CertificateAuthority,
  type CertificateAuthorityOptions,
  createCertificateAuthority,
  createEnrolment,
  createLocalIdentity,
  type EnrolmentOptions,
} from '../../../src/pki/coordinator/index.ts'
import type { EnrolmentDial, FetchChallenge, ManagedIdentity, ResolveHost } from '../../../src/pki/index.ts'
import { splitCertificates } from '../../../src/pki/x509/pem.ts'
import { systemRandom } from '../../../src/platform/index.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryStore } from './memory-store.ts'
import { RecordingLogger } from './recording-logger.ts'

export interface CoordinatorSetup {
  clock?: ManualClock
  store?: MemoryStore
  ca?: CertificateAuthorityOptions
  enrolment?: EnrolmentOptions
  fetchChallenge?: FetchChallenge
  resolveHost?: ResolveHost
}

/** A whole coordinator side without a network; `dial` leads straight to it. */
export interface Coordinator {
  clock: ManualClock
  store: MemoryStore
  log: RecordingLogger
  ca: CertificateAuthority
  identity: ManagedIdentity
  enrolment: Enrolment & TrustAdmin & Component
  /** Set to change what the next connections look like. */
  network: { isUp: boolean; remoteAddress: string; exporter?: Uint8Array }
  /** Requests that arrived, by path. */
  requests: string[]
  dial: EnrolmentDial
  stop(): Promise<void>
}

export async function startCoordinator(setup: CoordinatorSetup = {}): Promise<Coordinator> {
  const clock = setup.clock ?? new ManualClock()
  const store = setup.store ?? new MemoryStore()
  const log = new RecordingLogger()
  const needs = { store, clock, random: systemRandom, log }
  const ca = createCertificateAuthority(needs, setup.ca)
  const { fetchChallenge, resolveHost = () => Promise.reject(new Error('unknown host')) } = setup
  const enrolment = createEnrolment(
    { ...needs, ca, resolveHost, ...(fetchChallenge && { fetchChallenge }) },
    setup.enrolment,
  )
  const names = { dnsNames: () => ['coordinator.test'], ipAddresses: () => ['10.0.0.1'] }
  const identity = createLocalIdentity({ ...needs, ca }, { nodeId: 'coordinator-1', ...names })
  const { signal } = new AbortController()
  for (const component of [ca, enrolment, identity]) await component.start(signal)
  const coordinator: Coordinator = {
    clock,
    store,
    log,
    ca,
    identity,
    enrolment,
    network: { isUp: true, remoteAddress: '127.0.0.1' },
    requests: [],
    dial: (address, options) => open(coordinator, address, options),
    stop: async () => {
      await identity.stop()
      await enrolment.stop()
      await ca.stop()
    },
  }
  return coordinator
}

/** What a TLS connection to the coordinator would give, the HTTP surface included. */
async function open(coordinator: Coordinator, address: string, options: Parameters<EnrolmentDial>[1]) {
  const { enrolment, network } = coordinator
  if (!network.isUp) throw new P2PError('P2P_TRANSPORT_UNREACHABLE', `${address} refused the connection`)
  const exporter = network.exporter ?? randomBytes(32)
  const connection = connectionOf(network.remoteAddress, exporter, options.clientCertificate?.certificateChainPem)
  return {
    peerChainPem: splitCertificates(coordinator.identity.current().certificateChainPem),
    exporter: () => exporter,
    close: () => Promise.resolve(),
    request: async (method: string, path: string, json?: unknown, signal = new AbortController().signal) => {
      coordinator.requests.push(path)
      try {
        const answer = await handle(enrolment, `${method} ${path}`, overTheWire(json), connection, signal)
        return { status: 200, body: overTheWire(answer) }
      } catch (error) {
        if (!(error instanceof P2PError)) throw error
        return { status: error.facts.http, body: { code: error.code, detail: error.message } }
      }
    },
  }
}

export function connectionOf(remoteAddress: string, exporter: Uint8Array, chainPem?: string): EnrolmentConnection {
  const leaf = chainPem === undefined ? undefined : splitCertificates(chainPem)[0]
  return {
    remoteAddress,
    exporter: () => exporter,
    peerCertificateDer: leaf === undefined ? undefined : Buffer.from(leaf.replace(/-----[A-Z ]+-----/g, ''), 'base64'),
  }
}

function handle(
  enrolment: Enrolment,
  route: string,
  body: unknown,
  connection: EnrolmentConnection,
  signal: AbortSignal,
): unknown {
  switch (route) {
    case 'GET /internal/ca-cert':
      return enrolment.trust()
    case 'POST /internal/cert-nonce':
      return enrolment.nonce((body as { client_nonce: string }).client_nonce, connection)
    case 'POST /internal/cert-request':
      return enrolment.request(body as CertificateRequest, connection, signal)
    default:
      throw new P2PError('P2P_HTTP_NOT_FOUND', route)
  }
}

function overTheWire(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
}
