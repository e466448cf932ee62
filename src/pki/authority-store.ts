import { X509Certificate } from 'node:crypto'
import { assert } from '../base/assert.ts'
import { utf8 } from '../base/bytes.ts'
import { type ControlStore, getJson, jsonValue, type Operation } from '../base/control-store.ts'
import type { CaRotationPhase, RootSuccession, TrustAnswer } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { NodeId } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { SUCCESSIONS_MAX } from './succession.ts'
import { keyFingerprint, readCertificate, rootFingerprint } from './x509/certificate-facts.ts'
import { serialFrom } from './x509/serial.ts'
import type { CaMaterial, Validity } from './x509/signing.ts'

const ROOT_KEY = 'pki/root'
const ISSUING_KEY = 'pki/issuing'
const EARLIER_KEY = 'pki/earlier'
const ROTATION_KEY = 'pki/rotation'
const ROOT_KEY_ENTRY = 'certs/ca_key.key'

const MINUTE_MS = 60_000
const CA_LIFETIME_MS = 3_650 * 86_400_000
/** A certificate is valid from a little before its issue, for nodes whose clock is behind. */
export const BACKDATE_MS_MAX = 5 * MINUTE_MS

export interface AuthorityStoreNeeds {
  store: ControlStore
  clock: Clock
  random: Random
  log: Logger
}

export interface AuthorityStoreOptions {
  cluster: string | undefined
  rootKeyEntry: string | undefined
}

interface StoredRoot {
  cluster: string
  certificatePem: string
}

/** An issuing CA that issues no more: it signs the list of its revoked certificates until the last of them has ended. */
interface EarlierIssuing extends CaMaterial {
  endsAtMs: number
  /** No node trusts what it signed. */
  isDropped: boolean
}

interface StoredEarlier {
  issuing: EarlierIssuing[]
  succession: RootSuccession[]
}

/** How far a rotation is. What it needs to go on after a crash is in here, keys included: the store is encrypted. */
export interface StoredRotation {
  kind: 'root' | 'issuing'
  phase: CaRotationPhase
  startedAtMs: number
  phaseSinceMs: number
  /** Fingerprints of the roots; equal when only the issuing CA is rotated. */
  oldRoot: string
  newRoot: string
  oldIssuing: string
  newIssuing: string
  leftBehind: NodeId[]
  /** While the new root does not issue yet. */
  next?: { root: CaMaterial; link: string; issuing: CaMaterial }
  /** While both roots are trusted, PEM. */
  oldRootPem?: string
}

interface Loaded {
  root: StoredRoot
  issuing: CaMaterial
  earlier: StoredEarlier
  rotation: StoredRotation | undefined
  /** Revision of the store at the rotation's last change. */
  rotationRevision: number
}

/** The keys and certificates of the CA, and the one place that changes them. Each change is one commit, so a crash leaves the state before or after it. */
export class AuthorityStore {
  readonly #needs: AuthorityStoreNeeds
  readonly #options: AuthorityStoreOptions
  #loaded: Loaded | undefined
  #fingerprint: { rootPem: string; text: string } | undefined

  constructor(needs: AuthorityStoreNeeds, options: AuthorityStoreOptions) {
    this.#needs = needs
    this.#options = options
  }

  /** Loads the CA, or creates it on the first start. */
  async load(): Promise<void> {
    const { store } = this.#needs
    if ((await store.get(ROOT_KEY)) === undefined) await this.#create()
    const root = await getJson<StoredRoot>(store, ROOT_KEY)
    const issuing = await getJson<CaMaterial>(store, ISSUING_KEY)
    assert(root && issuing, 'root and issuing CA are stored together')
    this.#loaded = {
      root,
      issuing,
      earlier: (await getJson<StoredEarlier>(store, EARLIER_KEY)) ?? { issuing: [], succession: [] },
      rotation: await getJson<StoredRotation>(store, ROTATION_KEY),
      rotationRevision: (await store.get(ROTATION_KEY))?.revision ?? 0,
    }
  }

  get cluster(): string {
    return this.#ready().root.cluster
  }

  get rotation(): StoredRotation | undefined {
    return this.#ready().rotation
  }

  get issuing(): CaMaterial {
    return this.#ready().issuing
  }

  /** Key identifier of the CA that issues now. */
  get issuingId(): string {
    return idOf(this.issuing)
  }

  /** Of a certificate whose record does not say: it was issued before there could be two. */
  get firstIssuingId(): string {
    const [first] = this.#ready().earlier.issuing
    return first ? idOf(first) : this.issuingId
  }

  /** Every issuing CA whose certificates can still be told from forged ones, the current one first. */
  issuers(): CaMaterial[] {
    return [this.issuing, ...this.#ready().earlier.issuing]
  }

  /** @returns undefined when there is no such CA, or no longer */
  issuer(id: string): CaMaterial | undefined {
    return this.issuers().find((material) => idOf(material) === id)
  }

  /** Serials of issuing CAs that are not to be trusted. */
  droppedSerials(): string[] {
    const dropped = this.#ready().earlier.issuing.filter(({ isDropped }) => isDropped)
    return dropped.map(({ certificatePem }) => readCertificate(certificatePem).serial)
  }

  get notAfterMs(): number {
    return readCertificate(this.#ready().root.certificatePem).notAfterMs
  }

  /** What follows a leaf: its issuing CA, and the link that lets who trusts the root before this one follow. */
  get chainPem(): string {
    return this.issuing.certificatePem + (this.#ready().earlier.succession.at(-1)?.link ?? '')
  }

  trustedRoots(): string[] {
    const { root, rotation } = this.#ready()
    const other = rotation?.next?.root.certificatePem ?? rotation?.oldRootPem
    return other === undefined ? [root.certificatePem] : [root.certificatePem, other]
  }

  trust(): TrustAnswer {
    const { root, issuing, earlier, rotation } = this.#ready()
    const coming = rotation?.next && { root: root.certificatePem, link: rotation.next.link }
    const succession = [...earlier.succession, ...(coming ? [coming] : [])]
    const roots = this.trustedRoots()
    return {
      cluster: root.cluster,
      ca_certificate: root.certificatePem,
      issuing_certificate: issuing.certificatePem,
      ca_fingerprint: this.#fingerprintOf(root.certificatePem),
      ...(roots.length > 1 && { trusted_roots: roots }),
      ...(succession.length > 0 && { succession }),
    }
  }

  /** Asked several times for each node that joins. */
  #fingerprintOf(rootPem: string): string {
    if (this.#fingerprint?.rootPem !== rootPem) this.#fingerprint = { rootPem, text: rootFingerprint(rootPem) }
    return this.#fingerprint.text
  }

  /**
   * Makes what the rotation needs and records it. A new root is trusted before anything is issued under it; a new issuing CA under the
   * same root issues from here on.
   * @param endsAtMs when the last certificate issued so far ends
   * @throws {PkiError} P2P_PKI_ROTATION_RUNNING
   */
  async begin(kind: StoredRotation['kind'], endsAtMs: number): Promise<void> {
    const { clock, random } = this.#needs
    const { root, issuing, rotation } = this.#ready()
    if (rotation && rotation.phase !== 'done') {
      throw new PkiError(
        'P2P_PKI_ROTATION_RUNNING',
        `The ${rotation.kind === 'root' ? 'root' : 'issuing'} CA is being rotated already (p2p ca rotate status)`,
      )
    }
    const signing = await import('./x509/signing.ts')
    const nowMs = clock.wallMs()
    const serial = (): string => serialFrom(random.bytes(20))
    const rootMaterial = { certificatePem: root.certificatePem, keyPem: await this.#rootKey() }
    const common = { kind, startedAtMs: nowMs, phaseSinceMs: nowMs, leftBehind: [], oldIssuing: idOf(issuing) }
    const oldRoot = rootFingerprint(root.certificatePem)
    if (kind === 'issuing') {
      const validity = { ...caValidity(nowMs), notAfterMs: this.notAfterMs }
      const signer = await signing.loadSigner(rootMaterial)
      const next = await signing.createIssuing(signer, 'P2P Core issuing CA', serial(), validity)
      const ids = { oldRoot, newRoot: oldRoot, newIssuing: idOf(next) }
      const started: StoredRotation = { ...common, ...ids, phase: 'renewing' }
      await this.#commit(started, [put(ISSUING_KEY, next), put(EARLIER_KEY, this.#withEarlier(endsAtMs))])
      return
    }
    const newRoot = await signing.createRoot('P2P Core root CA', serial(), caValidity(nowMs))
    const [oldSigner, newSigner] = [await signing.loadSigner(rootMaterial), await signing.loadSigner(newRoot)]
    const linkValidity = { ...caValidity(nowMs), notAfterMs: this.notAfterMs }
    const link = await signing.signLink(oldSigner, newSigner, serial(), linkValidity)
    const next = await signing.createIssuing(newSigner, 'P2P Core issuing CA', serial(), caValidity(nowMs))
    const ids = { oldRoot, newRoot: rootFingerprint(newRoot.certificatePem), newIssuing: idOf(next) }
    await this.#commit({ ...common, ...ids, phase: 'distributing', next: { root: newRoot, link, issuing: next } }, [])
  }

  /**
   * Goes to a phase, or stays and leaves more nodes behind.
   * @param endsAtMs as {@link begin}
   */
  async advance(change: { phase?: CaRotationPhase; leftBehind?: readonly NodeId[] }, endsAtMs: number): Promise<void> {
    const { rotation, root, earlier } = this.#ready()
    assert(rotation, 'a rotation that runs goes on')
    const phase = change.phase ?? rotation.phase
    const leftBehind = [...new Set([...rotation.leftBehind, ...(change.leftBehind ?? [])])]
    const { next, oldRootPem: _, ...kept } = rotation
    const phaseSinceMs = phase === rotation.phase ? rotation.phaseSinceMs : this.#needs.clock.wallMs()
    const moved: StoredRotation = { ...kept, phase, leftBehind, phaseSinceMs }
    if (phase === rotation.phase) return this.#commit({ ...rotation, leftBehind }, [])
    if (phase === 'renewing') {
      assert(next, 'the new root waits in the rotation')
      const step = { root: root.certificatePem, link: next.link }
      const succession = [...earlier.succession, step].slice(-SUCCESSIONS_MAX)
      // The old root's key ends here: it has signed all it was to sign.
      return this.#commit({ ...moved, oldRootPem: root.certificatePem }, [
        put(ROOT_KEY, { cluster: root.cluster, certificatePem: next.root.certificatePem } satisfies StoredRoot),
        { type: 'put', key: this.#rootKeyEntry, value: utf8(next.root.keyPem) },
        put(ISSUING_KEY, next.issuing),
        put(EARLIER_KEY, { ...this.#withEarlier(endsAtMs), succession }),
      ])
    }
    if (phase === 'dropping' && rotation.kind === 'issuing') {
      const drop = (material: EarlierIssuing): EarlierIssuing =>
        idOf(material) === rotation.oldIssuing ? { ...material, isDropped: true } : material
      return this.#commit(moved, [put(EARLIER_KEY, { ...earlier, issuing: earlier.issuing.map(drop) })])
    }
    return this.#commit(moved, [])
  }

  /** The present issuing CA becomes an earlier one; those whose certificates have all ended are forgotten. */
  #withEarlier(endsAtMs: number): StoredEarlier {
    const { issuing, earlier } = this.#ready()
    const nowMs = this.#needs.clock.wallMs()
    const kept = earlier.issuing.filter((material) => material.endsAtMs > nowMs)
    return { ...earlier, issuing: [...kept, { ...issuing, endsAtMs, isDropped: false }] }
  }

  async #commit(rotation: StoredRotation, operations: Operation[]): Promise<void> {
    const { store } = this.#needs
    const { succeeded } = await store.transact({
      compares: [{ key: ROTATION_KEY, revision: this.#ready().rotationRevision }],
      operations: [put(ROTATION_KEY, rotation), ...operations],
    })
    await this.load()
    if (succeeded) return
    throw new PkiError('P2P_PKI_ROTATION_RUNNING', 'Somebody else changed the rotation a moment ago')
  }

  get #rootKeyEntry(): string {
    return this.#options.rootKeyEntry ?? ROOT_KEY_ENTRY
  }

  async #rootKey(): Promise<string> {
    const entry = await this.#needs.store.get(this.#rootKeyEntry)
    if (entry) return Buffer.from(entry.value).toString('utf8')
    throw new PkiError(
      'P2P_STORAGE_DAMAGED',
      `The root's private key is not under ${this.#rootKeyEntry}: set ssl_ca_key_file to what it was at the first start`,
    )
  }

  /** Both CAs are stored in one commit; another coordinator that was first wins. */
  async #create(): Promise<void> {
    const { store, clock, random, log } = this.#needs
    const signing = await import('./x509/signing.ts')
    const validity = caValidity(clock.wallMs())
    const serial = (): string => serialFrom(random.bytes(20))
    const root = await signing.createRoot('P2P Core root CA', serial(), validity)
    const cluster = this.#options.cluster ?? `p2p-${rootFingerprint(root.certificatePem).slice(0, 8)}`
    const rootSigner = await signing.loadSigner(root)
    const issuing = await signing.createIssuing(rootSigner, 'P2P Core issuing CA', serial(), validity)
    const { succeeded } = await store.transact({
      compares: [
        { key: ROOT_KEY, revision: 0 },
        { key: ISSUING_KEY, revision: 0 },
      ],
      operations: [
        put(ROOT_KEY, { cluster, certificatePem: root.certificatePem } satisfies StoredRoot),
        { type: 'put', key: this.#rootKeyEntry, value: utf8(root.keyPem) },
        put(ISSUING_KEY, issuing),
      ],
    })
    if (succeeded) log.info('Certificate authority created', { cluster })
  }

  #ready(): Loaded {
    assert(this.#loaded, 'the certificate authority is used after its start')
    return this.#loaded
  }
}

function put(key: string, value: unknown): Operation {
  return { type: 'put', key, value: jsonValue(value) }
}

function idOf({ certificatePem }: CaMaterial): string {
  return keyFingerprint(new X509Certificate(certificatePem).publicKey)
}

function caValidity(nowMs: number): Validity {
  return { notBeforeMs: wholeSecond(nowMs - BACKDATE_MS_MAX), notAfterMs: wholeSecond(nowMs + CA_LIFETIME_MS) }
}

/** X.509 counts whole seconds. */
export function wholeSecond(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000
}
