import { createHash, createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Credentials, RevocationList, TlsMaterial } from '../base/credentials.ts'
import { type NodeId, type NodeIdentity, parseSpiffeId } from '../base/identity.ts'
import type { Clock } from '../base/time.ts'

/** Signs this node's record with the key of its certificate. */
export interface RecordSigner {
  sign(bytes: Uint8Array): Uint8Array
  /** Leaf first, root left out. */
  readonly certificateChainPem: string
}

/** Checks who signed a record. */
export interface RecordVerifier {
  /** @returns the signer, or undefined when chain, validity, revocation or signature does not hold */
  verify(bytes: Uint8Array, signature: Uint8Array, certificateChainPem: string): NodeIdentity | undefined
}

/** Remembers whom it has verified. */
export interface RememberingVerifier extends RecordVerifier {
  /**
   * Until when the node is certified, by the certificates it has signed records with; 0 when none of them counts any more.
   * Unix milliseconds.
   */
  certifiedUntil(nodeId: NodeId): number
}

export interface RecordVerifierNeeds {
  credentials: Credentials
  revocations: RevocationList
  clock: Clock
}

/** Leaf, issuing CA and room for two more. */
const CHAIN_LENGTH_MAX = 4
/** Clocks of two machines may differ by so much at the edges of a certificate's validity. */
const CLOCK_TOLERANCE_MS = 5 * 60_000
/** Chains already checked: as many as there may be members. */
const CHAINS_MAX = 4_096

interface CheckedChain {
  identity: NodeIdentity
  publicKey: KeyObject
  serials: string[]
  /** Within which all its certificates are valid. Unix milliseconds. */
  notBeforeMs: number
  notAfterMs: number
}

/** Signs with the node's current certificate key: ECDSA in IEEE P1363 form with SHA-256, RSA with SHA-256, or EdDSA. */
export function createRecordSigner(credentials: Credentials): RecordSigner {
  let material: TlsMaterial | undefined
  let key: KeyObject | undefined
  return {
    sign: (bytes) => {
      const current = credentials.current()
      if (!key || current !== material) key = createPrivateKey(current.keyPem)
      material = current
      return sign(digestFor(key), bytes, { key, dsaEncoding: 'ieee-p1363' })
    },
    get certificateChainPem() {
      return credentials.current().certificateChainPem
    },
  }
}

/** Verifies against the node's current trust anchors. A chain is checked once and remembered; dates and revocation are asked each time. */
export function createRecordVerifier({ credentials, revocations, clock }: RecordVerifierNeeds): RememberingVerifier {
  // Counted as size: for a `max` the cache would take the memory of all of them at once.
  const bounds = { maxSize: CHAINS_MAX, sizeCalculation: () => 1 }
  const chains = new LRUCache<string, CheckedChain>(bounds)
  /** Of each signer the chain that lasts longest. */
  const longest = new LRUCache<NodeId, CheckedChain>(bounds)
  let trustPem = ''
  const isRevoked = ({ serials }: CheckedChain): boolean => serials.some((serial) => revocations.isRevoked(serial))
  return {
    verify: (bytes, signature, certificateChainPem) => {
      const current = credentials.current().trustPem
      if (current !== trustPem) {
        chains.clear()
        longest.clear()
      }
      trustPem = current
      const id = createHash('sha256').update(certificateChainPem).digest('base64')
      const chain = chains.get(id) ?? checkChain(certificateChainPem, trustPem)
      if (!chain) return undefined
      chains.set(id, chain)
      const wallMs = clock.wallMs()
      const isInTime =
        wallMs >= chain.notBeforeMs - CLOCK_TOLERANCE_MS && wallMs <= chain.notAfterMs + CLOCK_TOLERANCE_MS
      if (!isInTime || isRevoked(chain)) return undefined
      const key = { key: chain.publicKey, dsaEncoding: 'ieee-p1363' } as const
      if (!verify(digestFor(chain.publicKey), bytes, key, signature)) return undefined
      const { nodeId } = chain.identity
      if (chain.notAfterMs > (longest.get(nodeId)?.notAfterMs ?? 0)) longest.set(nodeId, chain)
      return chain.identity
    },
    certifiedUntil: (nodeId) => {
      const chain = longest.get(nodeId)
      return chain && credentials.current().trustPem === trustPem && !isRevoked(chain) ? chain.notAfterMs : 0
    },
  }
}

/** The digest belongs to the key type: EdDSA has its own. */
function digestFor(key: KeyObject): 'sha256' | null {
  return key.asymmetricKeyType === 'ed25519' || key.asymmetricKeyType === 'ed448' ? null : 'sha256'
}

/** Follows the chain from the leaf to a trust anchor (RFC 5280 section 6.1, the parts that apply to our CA). */
function checkChain(certificateChainPem: string, trustPem: string): CheckedChain | undefined {
  const chain = parseCertificates(certificateChainPem)
  const anchors = parseCertificates(trustPem)
  const [leaf] = chain ?? []
  if (!chain || !anchors || !leaf || leaf.ca || chain.length > CHAIN_LENGTH_MAX) return undefined
  const identity = identityOf(leaf)
  if (!identity) return undefined
  const path: X509Certificate[] = []
  for (const [index, certificate] of chain.entries()) {
    path.push(certificate)
    const anchor = anchors.find((candidate) => isIssuedBy(certificate, candidate))
    if (anchor) {
      path.push(anchor)
      return describe(path, identity, leaf)
    }
    const issuer = chain[index + 1]
    if (!issuer || !isIssuedBy(certificate, issuer)) return undefined
  }
  return undefined
}

function describe(path: readonly X509Certificate[], identity: NodeIdentity, leaf: X509Certificate): CheckedChain {
  return {
    identity,
    publicKey: leaf.publicKey,
    serials: path.map((certificate) => certificate.serialNumber.toLowerCase()),
    notBeforeMs: Math.max(...path.map((certificate) => certificate.validFromDate.getTime())),
    notAfterMs: Math.min(...path.map((certificate) => certificate.validToDate.getTime())),
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

/** The one SPIFFE id of a certificate; undefined when it has another URI beside it or none (SPIFFE X.509-SVID section 2). */
function identityOf(certificate: X509Certificate): NodeIdentity | undefined {
  const uris = alternativeNames(certificate.subjectAltName ?? '').filter(([kind]) => kind === 'URI')
  return uris.length === 1 ? parseSpiffeId((uris[0] as [string, string])[1]) : undefined
}

/** Node prints names that hold a comma or a quote as JSON strings, so that none can pass for two. */
function alternativeNames(text: string): [string, string][] {
  const entries = text.matchAll(/([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy)
  return [...entries].map((entry) => [entry[1] as string, entry[2] as string])
}

function parseCertificates(pem: string): X509Certificate[] | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  try {
    return blocks.slice(0, CHAIN_LENGTH_MAX * 2).map((block) => new X509Certificate(block))
  } catch {
    return undefined
  }
}
