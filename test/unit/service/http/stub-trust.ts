import type {
  CaRotation,
  CaRotationAdmin,
  CertificateRequest,
  Enrolment,
  IssuedCertificate,
  NodeBan,
  PendingNode,
  TrustAdmin,
} from '../../../../src/base/enrolment.ts'
import { PkiError } from '../../../../src/base/errors.ts'

export const CERTIFICATE_REQUEST: CertificateRequest = {
  node_id: 'worker-7',
  role: 'worker',
  csr: '-----BEGIN CERTIFICATE REQUEST-----',
  ip_addresses: ['192.0.2.7'],
  dns_names: ['w7'],
  challenge: 'c'.repeat(32),
  challenge_port: 8802,
  nonce: 'n',
  proof: { kind: 'none' },
}

const PENDING: PendingNode = {
  request_id: 'r1',
  node_id: 'worker-7',
  role: 'worker',
  fingerprint: 'f'.repeat(64),
  remote_address: '192.0.2.7',
  ip_addresses: [],
  dns_names: [],
  requested_at_ms: 1,
}

const ISSUED: IssuedCertificate = {
  serial: '0b',
  node_id: 'worker-7',
  role: 'worker',
  not_before_ms: 1,
  not_after_ms: 2,
}

const BAN: NodeBan = { node_id: 'worker-7', key_fingerprints: ['f'.repeat(64)], banned_at_ms: 1 }

const TRUST = {
  cluster: 'blue',
  ca_certificate: 'ROOT',
  issuing_certificate: 'ISSUING',
  ca_fingerprint: 'a'.repeat(64),
}

/** An authority that waits for a person who never comes. */
export function stubEnrolment(overrides: Partial<Enrolment> = {}): Enrolment {
  return {
    trust: () => TRUST,
    nonce: (clientNonce) => ({ nonce: `n-${clientNonce}`, expires_in_ms: 60_000, time_ms: 1 }),
    request: async (_request, _connection, signal) =>
      new Promise((resolve) => {
        const pending = { status: 'pending', request_id: 'r1', fingerprint: 'f'.repeat(64) } as const
        signal.addEventListener('abort', () => resolve(pending), { once: true })
      }),
    crl: async () => new Uint8Array([0x30, 0x03, 0x02, 0x01, 0x05]),
    ...overrides,
  }
}

/** Knows one waiting node, worker-7; writes down what it was told to do. */
export function stubTrustAdmin(): TrustAdmin & { done: string[] } {
  const done: string[] = []
  const find = (id: string): PendingNode => {
    if (id === PENDING.node_id || id === PENDING.request_id) return PENDING
    throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', `Nobody waits under ${id}`)
  }
  const facts = { token_id: 't1', role: 'worker', uses_left: 1, expires_at_ms: 2, created_at_ms: 1 } as const
  return {
    done,
    pending: () => [PENDING],
    approve: async (id, fingerprint) => {
      done.push(`approve ${id} ${fingerprint}`)
      return find(id)
    },
    reject: async (id) => {
      done.push(`reject ${id}`)
      return find(id)
    },
    createToken: async (options) => {
      done.push(`create ${JSON.stringify(options)}`)
      return { token: 'P2P1-x-y', facts }
    },
    listTokens: async () => [facts],
    revokeToken: async (id) => void done.push(`revoke token ${id}`),
    describeCa: async () => ({ ...TRUST, not_after_ms: 2, leaf_lifetime_ms: 1, issued: [ISSUED] }),
    revokeNode: async (id) => {
      done.push(`revoke node ${id}`)
      return [{ ...ISSUED, revoked_at_ms: 5 }]
    },
    bans: () => [BAN],
    banNode: async (id, options) => {
      done.push(`ban ${id} ${JSON.stringify(options)}`)
      return BAN
    },
    unbanNode: async (id) => {
      done.push(`unban ${id}`)
      return BAN
    },
  }
}

/** A root whose rotation waits for worker-7. */
export function stubCaRotation(): CaRotationAdmin & { done: string[] } {
  const done: string[] = []
  const rotation: CaRotation = {
    kind: 'root',
    phase: 'distributing',
    started_at_ms: 1,
    phase_since_ms: 2,
    old_fingerprint: 'a'.repeat(64),
    new_fingerprint: 'b'.repeat(64),
    nodes_total: 3,
    nodes_followed: 2,
    waiting_for: [{ node_id: 'worker-7', status: 'dead', missing: 'trust' }],
    left_behind: [],
  }
  return {
    done,
    status: () => rotation,
    begin: async (kind) => {
      done.push(`begin ${kind}`)
      return rotation
    },
    finish: async ({ force }) => {
      done.push(`finish ${force}`)
      return rotation
    },
  }
}
