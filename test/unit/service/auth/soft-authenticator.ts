import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { isoCBOR } from '@simplewebauthn/server/helpers'

interface Options {
  challenge: string
  user?: { id: string }
}

/** What a page or an authenticator may get wrong. */
interface Wrong {
  origin?: string
  rpId?: string
  type?: string
  counter?: number
  /** Of the authenticator data: 1 present, 4 verified, 64 a key is in it (WebAuthn Level 3 section 6.1). */
  flags?: number
  format?: string
  statement?: Map<string, unknown>
}

const base64Url = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64url')
const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest()

/** An authenticator in memory with one ES256 key, and the browser around it. */
export class SoftAuthenticator {
  readonly credential = randomBytes(32)
  readonly #keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  readonly #origin: string
  readonly #rpId: string
  counter = 0
  #userHandle = ''

  constructor(origin: string) {
    this.#origin = origin
    this.#rpId = new URL(origin).hostname
  }

  register(options: Options, wrong: Wrong = {}): object {
    this.#userHandle = options.user?.id ?? ''
    const { x = '', y = '' } = this.#keys.publicKey.export({ format: 'jwk' })
    const key = new Map<number, number | Uint8Array>([
      [1, 2], // EC2
      [3, -7], // ES256
      [-1, 1], // P-256
      [-2, new Uint8Array(Buffer.from(x, 'base64url'))],
      [-3, new Uint8Array(Buffer.from(y, 'base64url'))],
    ])
    const length = Buffer.alloc(2)
    length.writeUInt16BE(this.credential.length)
    const attested = [Buffer.alloc(16), length, this.credential, isoCBOR.encode(key as never)]
    const authData = Buffer.concat([this.#authData({ flags: 0x45, ...wrong }), ...attested])
    const attestation = new Map<string, unknown>([
      ['fmt', wrong.format ?? 'none'],
      ['attStmt', wrong.statement ?? new Map()],
      ['authData', new Uint8Array(authData)],
    ])
    return this.#answer({
      clientDataJSON: this.#clientData(options.challenge, { type: 'webauthn.create', ...wrong }),
      attestationObject: base64Url(isoCBOR.encode(attestation as never)),
      transports: ['internal'],
    })
  }

  assert(options: Options, wrong: Wrong & { userHandle?: string } = {}): object {
    const clientDataJSON = this.#clientData(options.challenge, { type: 'webauthn.get', ...wrong })
    const authData = this.#authData({ flags: 0x05, ...wrong })
    const signed = Buffer.concat([authData, sha256(Buffer.from(clientDataJSON, 'base64url'))])
    return this.#answer({
      clientDataJSON,
      authenticatorData: base64Url(authData),
      signature: base64Url(sign('sha256', signed, this.#keys.privateKey)),
      userHandle: wrong.userHandle ?? this.#userHandle,
    })
  }

  #answer(response: object): object {
    const id = base64Url(this.credential)
    return { id, rawId: id, type: 'public-key', response, clientExtensionResults: { credProps: { rk: true } } }
  }

  #clientData(challenge: string, { type, origin = this.#origin }: Wrong): string {
    return base64Url(JSON.stringify({ type, challenge, origin, crossOrigin: false }))
  }

  #authData({ rpId = this.#rpId, flags = 0, counter = ++this.counter }: Wrong): Buffer {
    const tail = Buffer.alloc(5)
    tail.writeUInt8(flags)
    tail.writeUInt32BE(counter, 1)
    return Buffer.concat([sha256(rpId), tail])
  }
}
