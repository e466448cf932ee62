import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { fromBase64Url, toBase64Url, utf8 } from '../../base/bytes.ts'
import { messageOf, RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { PASSKEY_CHALLENGE_MS, PasskeyChallenges } from './passkey-challenges.ts'
import { originOf } from './session-cookie.ts'
import type { StoredPasskey, StoredUser } from './user.ts'

/** Passkeys of one person. */
const PASSKEYS_MAX = 20
const ID_BYTES = 9
/** ECDSA with P-256, Ed25519, RSA: what authenticators have (RFC 9053, RFC 8812). */
const ALGORITHMS = [-7, -8, -257]

/** What a browser answers to the options of a registration (WebAuthn Level 3 section 5.1, `RegistrationResponseJSON`). */
export interface PasskeyRegistration {
  id: string
  rawId: string
  type: 'public-key'
  response: { clientDataJSON: string; attestationObject: string; transports?: string[] | undefined }
  clientExtensionResults: Record<string, never>
}

/** What a browser answers to the options of a sign-in (`AuthenticationResponseJSON`). */
export interface PasskeyAssertion {
  id: string
  rawId: string
  type: 'public-key'
  response: { clientDataJSON: string; authenticatorData: string; signature: string; userHandle?: string | undefined }
  clientExtensionResults: Record<string, never>
}

/** For whom authenticators make and keep keys: the name in the address of the page (WebAuthn section 5.1.7, RP ID). */
export interface RelyingParty {
  id: string
  origin: string
}

/**
 * The relying party that a request's own address names.
 * @throws {RpcError} P2P_AUTH_PASSKEY_ADDRESS: it is no name; browsers use passkeys for names alone
 */
export function relyingPartyOf(headers: IncomingHttpHeaders): RelyingParty {
  const url = URL.parse(originOf(headers) ?? '')
  if (url && canHavePasskeys(url.hostname)) return { id: url.hostname, origin: url.origin }
  throw new RpcError(
    'P2P_AUTH_PASSKEY_ADDRESS',
    `Passkeys belong to a name, and ${url?.host ?? 'this address'} is none: open the dashboard by a host name of this machine, or as localhost`,
  )
}

/** Whether browsers use passkeys for the host: a name, not an address. */
export function canHavePasskeys(host: string): boolean {
  return host !== '' && isIP(host.replace(/^\[|\]$/g, '')) === 0
}

/** Makes and checks what passes between browsers' authenticators and the coordinator. Keeps no people. */
export class Passkeys {
  readonly #needs: { clock: Clock; random: Random; log: Logger }
  readonly #cluster: string
  readonly #challenges: PasskeyChallenges

  constructor(needs: { clock: Clock; random: Random; log: Logger }, cluster: string) {
    this.#needs = needs
    this.#cluster = cluster
    this.#challenges = new PasskeyChallenges(needs)
  }

  /** What the browser is to make a passkey from. */
  async registrationOptions(user: StoredUser, party: RelyingParty): Promise<object> {
    checkRoom(user)
    const { generateRegistrationOptions } = await import('@simplewebauthn/server')
    return generateRegistrationOptions({
      rpName: `P2P Core ${this.#cluster}`,
      rpID: party.id,
      userName: user.name,
      userDisplayName: user.name,
      userID: new Uint8Array(this.#handleOf(user)),
      challenge: new Uint8Array(this.#challenges.make(registrationOf(user, party))),
      timeout: PASSKEY_CHALLENGE_MS,
      excludeCredentials: (user.passkeys ?? []).map(({ credential: id, transports }) => ({ id, transports })),
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      supportedAlgorithmIDs: ALGORITHMS,
    })
  }

  /** The passkey that the browser has made. @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID */
  async register(
    user: StoredUser,
    { label, registration }: { label: string; registration: PasskeyRegistration },
    party: RelyingParty,
  ): Promise<StoredPasskey> {
    checkRoom(user)
    let challenge = ''
    const credential = await this.#checked('A passkey could not be registered', user.name, async () => {
      const { verifyRegistrationResponse } = await import('@simplewebauthn/server')
      await refuseAttestation(registration.response.attestationObject)
      const { verified, registrationInfo } = await verifyRegistrationResponse({
        response: registration as Parameters<typeof verifyRegistrationResponse>[0]['response'],
        expectedChallenge: (shown) => this.#challenges.isGood((challenge = shown), registrationOf(user, party)),
        expectedOrigin: party.origin,
        expectedRPID: party.id,
        requireUserVerification: true,
        supportedAlgorithmIDs: ALGORITHMS,
      })
      return verified ? registrationInfo.credential : undefined
    })
    this.#challenges.use(challenge)
    const { clock, random } = this.#needs
    return {
      id: toBase64Url(random.bytes(ID_BYTES)),
      credential: credential.id,
      public_key: toBase64Url(credential.publicKey),
      counter: credential.counter,
      transports: registration.response.transports ?? [],
      rp_id: party.id,
      label,
      created_at_ms: clock.wallMs(),
    }
  }

  /** What the browser is to sign, with whichever passkey of this name the person chooses. */
  async signInOptions(party: RelyingParty): Promise<object> {
    const { generateAuthenticationOptions } = await import('@simplewebauthn/server')
    return generateAuthenticationOptions({
      rpID: party.id,
      challenge: new Uint8Array(this.#challenges.make(signInAt(party))),
      timeout: PASSKEY_CHALLENGE_MS,
      userVerification: 'required',
    })
  }

  /**
   * The passkey as it is after it was used: its counter has risen, where its authenticator counts.
   * @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID
   */
  async verify(
    user: StoredUser,
    passkey: StoredPasskey,
    assertion: PasskeyAssertion,
    party: RelyingParty,
  ): Promise<StoredPasskey> {
    let challenge = ''
    const { userHandle } = assertion.response
    const counter = await this.#checked('A sign-in by passkey was refused', user.name, async () => {
      if (passkey.rp_id !== party.id) throw new Error(`it was made for ${passkey.rp_id}`)
      if (userHandle !== undefined && userHandle !== toBase64Url(this.#handleOf(user)))
        throw new Error('it names another user')
      const { verifyAuthenticationResponse } = await import('@simplewebauthn/server')
      const { verified, authenticationInfo } = await verifyAuthenticationResponse({
        response: assertion as Parameters<typeof verifyAuthenticationResponse>[0]['response'],
        expectedChallenge: (shown) => this.#challenges.isGood((challenge = shown), signInAt(party)),
        expectedOrigin: party.origin,
        expectedRPID: party.id,
        requireUserVerification: true,
        credential: {
          id: passkey.credential,
          publicKey: new Uint8Array(fromBase64Url(passkey.public_key)),
          counter: passkey.counter,
        },
      })
      return verified ? { value: authenticationInfo.newCounter } : undefined
    })
    this.#challenges.use(challenge)
    return { ...passkey, counter: counter.value, used_at_ms: this.#needs.clock.wallMs() }
  }

  /** What the authenticator knows the person by: says nothing of who it is, and is another one for a later user of the name. */
  #handleOf({ name, created_at_ms: createdAtMs }: StoredUser): Uint8Array {
    const text = JSON.stringify(['p2p-core passkey user v1', this.#cluster, name, createdAtMs])
    return createHash('sha256').update(utf8(text)).digest()
  }

  /** The library says in its errors what is wrong: for the log; the answer is the same whatever it is. */
  async #checked<T>(what: string, name: string, check: () => Promise<T | undefined>): Promise<T> {
    let reason = 'its signature does not verify'
    try {
      const found = await check()
      if (found !== undefined) return found
    } catch (error) {
      reason = messageOf(error)
    }
    this.#needs.log.warning(what, { name, reason })
    throw passkeyRefused()
  }
}

export function passkeyRefused(): RpcError {
  return new RpcError('P2P_AUTH_CREDENTIAL_INVALID', 'The passkey was not accepted; try again, or sign in another way')
}

/**
 * Statements about the authenticator's make are not asked for. Whoever sends one all the same would have certificates of his choice
 * looked at, whose revocation lists the library fetches. One that an authenticator makes with the new key itself is none (section 8.7).
 */
async function refuseAttestation(attestationObject: string): Promise<void> {
  const { decodeAttestationObject } = await import('@simplewebauthn/server/helpers')
  const decoded = decodeAttestationObject(new Uint8Array(fromBase64Url(attestationObject)))
  const format = decoded.get('fmt')
  if (format === 'none' || (format === 'packed' && decoded.get('attStmt').get('x5c') === undefined)) return
  throw new Error(`an attestation of format ${format} was not asked for`)
}

function checkRoom({ passkeys = [] }: StoredUser): void {
  if (passkeys.length < PASSKEYS_MAX) return
  throw new RpcError('P2P_RPC_TOO_MANY_ITEMS', `There are ${PASSKEYS_MAX} passkeys, the most there may be; remove one`)
}

function registrationOf({ name }: StoredUser, { origin }: RelyingParty): string {
  return `register ${name} ${origin}`
}

function signInAt({ origin }: RelyingParty): string {
  return `sign-in ${origin}`
}
