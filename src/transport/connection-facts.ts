import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { RevocationList } from '../base/credentials.ts'
import { EXPORTER_LABEL } from '../base/enrolment.ts'
import { messageOf, TransportError } from '../base/errors.ts'
import type { NodeIdentity } from '../base/identity.ts'
import type { Clock } from '../base/time.ts'
import { nodeIdentityOf, serialOf, serialsOf } from './peer-certificate.ts'
import type { TrustedIssuers } from './trusted-issuers.ts'

/** What is known about the TLS connection a request came in on; no client can forge it. */
export interface ConnectionFacts {
  /** The other end's own address, without port; IPv4 mapped into IPv6 is given as IPv4. */
  readonly remoteAddress: string
  readonly remotePort: number
  /** `TLSv1.3` or `TLSv1.2`. */
  readonly tlsVersion: string
  /**
   * Who the client certificate says it is: its chain was verified at the handshake, it names this cluster, and it is
   * neither expired nor revoked, nor is its CA, and that is under a trusted root (looked up at every read). Undefined for
   * everyone else.
   */
  readonly identity: NodeIdentity | undefined
  /** Serial of the shown client certificate, lower-case hex, whether or not it was accepted. */
  readonly serial: string | undefined
  /** When the client certificate ends, Unix milliseconds; 0 when none was shown. */
  readonly notAfterMs?: number
  /** The certificate of the CA that issued the client certificate, as it was shown. */
  readonly issuer?: X509Certificate | undefined
  /** The client certificate as DER, if one was shown; the handshake proved its key, nothing else (it may have expired). */
  readonly peerCertificateDer: Uint8Array | undefined
  /**
   * 32 bytes of keying material under {@link EXPORTER_LABEL}, the same on both ends of this connection and on no other.
   * @throws {TransportError} P2P_TRANSPORT_CHANNEL_CLOSED when the connection has ended
   */
  exporter(): Uint8Array
}

/** What is asked about a certificate for as long as its connection is open. */
export interface ConnectionTrust {
  revocations: RevocationList
  issuers: TrustedIssuers
  clock: Pick<Clock, 'wallMs'>
}

/** Reads the facts of a TLS connection after its handshake. */
export function connectionFacts(socket: TLSSocket, cluster: () => string, trust: ConnectionTrust): ConnectionFacts {
  return new TlsConnection(socket, cluster, trust)
}

class TlsConnection implements ConnectionFacts {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly tlsVersion: string
  readonly serial: string | undefined
  readonly #certificate: X509Certificate | undefined
  /** As the certificate says, the chain being verified; the cluster and revocation are asked at every read. */
  readonly #named: NodeIdentity | undefined
  readonly #socket: TLSSocket
  readonly #cluster: () => string
  readonly #notAfterMs: number
  readonly #trust: ConnectionTrust
  readonly #verifiedUnder: string
  #exported: Uint8Array | undefined

  constructor(socket: TLSSocket, cluster: () => string, trust: ConnectionTrust) {
    this.remoteAddress = plainAddress(socket.remoteAddress)
    this.remotePort = socket.remotePort ?? 0
    this.tlsVersion = socket.getProtocol() ?? ''
    this.#certificate = socket.getPeerX509Certificate()
    this.serial = this.#certificate && serialOf(this.#certificate)
    this.#named = this.#certificate && socket.authorized ? nodeIdentityOf(this.#certificate) : undefined
    this.#socket = socket
    this.#cluster = cluster
    this.#notAfterMs = this.#certificate?.validToDate.getTime() ?? 0
    this.#trust = trust
    this.#verifiedUnder = trust.issuers.trustPem
  }

  get notAfterMs(): number {
    return this.#notAfterMs
  }

  get issuer(): X509Certificate | undefined {
    return this.#certificate?.issuerCertificate
  }

  get identity(): NodeIdentity | undefined {
    if (!this.#named || this.#named.cluster !== this.#cluster()) return undefined
    const { issuers, revocations, clock } = this.#trust
    if (clock.wallMs() > this.#notAfterMs || !issuers.isTrusted(this.issuer, this.#verifiedUnder)) return undefined
    return serialsOf(this.#certificate).some((serial) => revocations.isRevoked(serial)) ? undefined : this.#named
  }

  get peerCertificateDer(): Uint8Array | undefined {
    return this.#certificate?.raw
  }

  exporter(): Uint8Array {
    this.#exported ??= exportKeyingMaterial(this.#socket)
    return this.#exported
  }
}

const EXPORTER_BYTES = 32

/**
 * The connection's keying material under {@link EXPORTER_LABEL} (RFC 8446 section 7.5), with an empty context.
 * @throws {TransportError} P2P_TRANSPORT_CHANNEL_CLOSED
 */
export function exportKeyingMaterial(socket: TLSSocket): Uint8Array {
  try {
    return socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0))
  } catch (cause) {
    throw new TransportError(
      'P2P_TRANSPORT_CHANNEL_CLOSED',
      `The TLS connection has ended: ${messageOf(cause)}`,
      {},
      { cause },
    )
  }
}

/** The address without the `::ffff:` that a dual-stack socket puts before IPv4. */
export function plainAddress(address: string | undefined): string {
  return address?.replace(/^::ffff:(?=\d+\.)/i, '') ?? ''
}
