import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Credentials, RevocationList } from '../base/credentials.ts'
import { TransportError } from '../base/errors.ts'
import { formatSpiffeId, type NodeId, type NodeIdentity } from '../base/identity.ts'
import { connectTls } from './connect-tls.ts'
import { plainAddress } from './connection-facts.ts'
import { nodeIdentityOf, serialOf, serialsOf } from './peer-certificate.ts'

/** A TLS connection to a node whose certificate has been checked. */
export interface PeerConnection {
  socket: TLSSocket
  peer: NodeIdentity
  serial: string
  /** The CA that issued its certificate, as it was shown. */
  issuer: X509Certificate | undefined
  /** When its certificate ends, Unix milliseconds. */
  notAfterMs: number
  /** The roots by which it was verified, PEM. */
  verifiedUnder: string
  /** As it was dialled. */
  address: string
  /** As the socket says. */
  remoteAddress: string
  remotePort: number
}

/** Who must answer. */
export interface ExpectedPeer {
  cluster: string
  /** Undefined when any node of the cluster will do. */
  nodeId: NodeId | undefined
  /** Who must not: this node itself. */
  self: NodeId
}

/**
 * Connects over mutual TLS 1.3 and verifies the other end: chain to a trusted root, not revoked, cluster, node id.
 * @throws {TransportError} P2P_TRANSPORT_UNREACHABLE, P2P_TRANSPORT_IDENTITY_MISMATCH
 * @throws the signal's reason when it is aborted
 */
export async function connectToPeer(
  address: string,
  expected: ExpectedPeer,
  trust: { credentials: Credentials; revocations: RevocationList },
  signal: AbortSignal,
): Promise<PeerConnection> {
  const { certificateChainPem, keyPem, trustPem } = trust.credentials.current()
  const socket = await connectTls(
    address,
    { cert: certificateChainPem, key: keyPem, ca: trustPem, minVersion: 'TLSv1.3', rejectUnauthorized: true },
    signal,
  )
  const certificate = socket.getPeerX509Certificate() as X509Certificate
  const peer = nodeIdentityOf(certificate)
  const serial = serialOf(certificate)
  const revoked = serialsOf(certificate).find((each) => trust.revocations.isRevoked(each))
  const what = revoked === serial ? 'its certificate' : 'the CA of its certificate,'
  const objection = revoked ? `${what} ${revoked} has been revoked` : objectionTo(peer, expected)
  if (objection === undefined) {
    const remoteAddress = plainAddress(socket.remoteAddress)
    const notAfterMs = certificate.validToDate.getTime()
    const verified = { issuer: certificate.issuerCertificate, notAfterMs, verifiedUnder: trustPem }
    const remotePort = socket.remotePort ?? 0
    return { socket, peer: peer as NodeIdentity, serial, ...verified, address, remoteAddress, remotePort }
  }
  socket.destroy()
  const message = `The node at ${address} is not the one wanted: ${objection}.`
  throw new TransportError('P2P_TRANSPORT_IDENTITY_MISMATCH', message, { address, expected: expected.nodeId })
}

function objectionTo(peer: NodeIdentity | undefined, expected: ExpectedPeer): string | undefined {
  if (!peer) return 'its certificate names no node'
  if (peer.cluster !== expected.cluster) return `it is ${formatSpiffeId(peer)}, not of cluster ${expected.cluster}`
  if (peer.nodeId === expected.self) return 'it is this node itself'
  if (expected.nodeId !== undefined && peer.nodeId !== expected.nodeId)
    return `it is ${peer.nodeId}, not ${expected.nodeId}`
  return undefined
}
