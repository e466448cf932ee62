import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { Credentials, RevocationList, TlsMaterial } from '../../../src/base/credentials.ts'
import { formatSpiffeId, type NodeIdentity } from '../../../src/base/identity.ts'

/* A throw-away certificate authority for tests: root, issuing CA, leaves with one SPIFFE URI SAN. */

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const HOUR_MS = 3_600_000

x509.cryptoProvider.set(webcrypto as Crypto)

export interface IssuedLeaf extends TlsMaterial {
  /** Lower-case hex. */
  serial: string
}

export interface LeafRequest {
  nodeId: string
  cluster?: string
  role?: NodeIdentity['role']
  notBefore?: Date
  notAfter?: Date
  /** Instead of the SPIFFE id and localhost. */
  names?: x509.JsonGeneralNames
}

export interface TestAuthority {
  trustPem: string
  issue(request: LeafRequest): Promise<IssuedLeaf>
}

let serials = 0
function nextSerial(): string {
  return `2b${(++serials).toString(16).padStart(30, '0')}`
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

export async function createTestAuthority(cluster = 'test'): Promise<TestAuthority> {
  const [rootKeys, issuingKeys] = await Promise.all([generateKeys(), generateKeys()])
  const validity = { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + 24 * HOUR_MS) }
  const usage = new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: nextSerial(),
    name: `CN=${cluster} root`,
    ...validity,
    signingAlgorithm: ALGORITHM,
    keys: rootKeys,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true), usage],
  })
  const issuing = await x509.X509CertificateGenerator.create({
    serialNumber: nextSerial(),
    subject: `CN=${cluster} issuing`,
    issuer: root.subject,
    ...validity,
    signingAlgorithm: ALGORITHM,
    publicKey: issuingKeys.publicKey,
    signingKey: rootKeys.privateKey,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true), usage],
  })

  async function issue(request: LeafRequest): Promise<IssuedLeaf> {
    const keys = await generateKeys()
    const identity = {
      cluster: request.cluster ?? cluster,
      role: request.role ?? ('worker' as const),
      nodeId: request.nodeId,
    }
    const serial = nextSerial()
    const names: x509.JsonGeneralNames = request.names ?? [
      { type: 'url', value: formatSpiffeId(identity) },
      { type: 'dns', value: 'localhost' },
      { type: 'ip', value: '127.0.0.1' },
    ]
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: serial,
      subject: `CN=${request.nodeId}`,
      issuer: issuing.subject,
      notBefore: request.notBefore ?? validity.notBefore,
      notAfter: request.notAfter ?? validity.notAfter,
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: issuingKeys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension(names),
      ],
    })
    const keyDer = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
    return {
      certificateChainPem: `${leaf.toString('pem')}\n${issuing.toString('pem')}\n`,
      keyPem: x509.PemConverter.encode(keyDer, 'PRIVATE KEY'),
      trustPem: root.toString('pem'),
      serial,
    }
  }

  return { trustPem: root.toString('pem'), issue }
}

/** Credentials that a test renews by hand. */
export class TestCredentials implements Credentials {
  #material: TlsMaterial
  readonly #listeners = new Set<() => void>()

  constructor(material: TlsMaterial) {
    this.#material = material
  }

  current(): TlsMaterial {
    return this.#material
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  renew(material: TlsMaterial): void {
    this.#material = material
    for (const listener of this.#listeners) listener()
  }

  get listenerCount(): number {
    return this.#listeners.size
  }
}

/** A revocation list that a test adds to. */
export class TestRevocations implements RevocationList {
  readonly #serials = new Set<string>()
  readonly #listeners = new Set<() => void>()

  isRevoked(serialHex: string): boolean {
    return this.#serials.has(serialHex)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  revoke(serialHex: string): void {
    this.#serials.add(serialHex)
    for (const listener of this.#listeners) listener()
  }
}
