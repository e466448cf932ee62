import { createHash } from 'node:crypto'
import { get } from 'node:http'
import { toBase64Url } from '../base/bytes.ts'
import { canonicalAddress } from './address.ts'

/** The port on which a node answers challenges unless it is taken. */
export const CHALLENGE_PORT = 8802
export const CHALLENGE_PATH = '/internal/cert-challenge/'
/** A challenge: base64url, long enough not to be guessed, short enough for the key authorization to fit. */
export const CHALLENGE_PATTERN = /^[A-Za-z0-9_-]{32,84}$/
/** Longest answer read. */
const CHALLENGE_ANSWER_BYTES_MAX = 128

/** Where and what the coordinator asks. */
export interface ChallengeTarget {
  /** An IP address: nothing is resolved. */
  address: string
  port: number
  challenge: string
}

/** Asks a node's challenge server; resolves to the body of its answer. */
export type FetchChallenge = (target: ChallengeTarget, signal: AbortSignal) => Promise<string>

/**
 * What the challenge server answers: the challenge, a dot, and the base64url SHA-256 of the key that
 * the certificate is for; so the answer is good for one key only (RFC 8555 section 8.1).
 */
export function keyAuthorization(challenge: string, publicKeyDer: Uint8Array): string {
  return `${challenge}.${toBase64Url(createHash('sha256').update(publicKeyDer).digest())}`
}

/** The real {@link FetchChallenge}: one GET over plain HTTP/1.1, no redirects, at most 128 bytes read. */
export const fetchChallenge: FetchChallenge = (target, signal) =>
  new Promise((resolve, reject) => {
    const request = get({
      host: target.address,
      port: target.port,
      path: CHALLENGE_PATH + target.challenge,
      headers: { connection: 'close', host: hostHeader(target) },
      agent: false,
      maxHeaderSize: 4_096,
      signal,
    })
    request.on('error', reject)
    request.on('response', (response) => {
      const fail = (reason: string): void => {
        reject(new Error(reason))
        request.destroy()
      }
      if (response.statusCode !== 200) return fail(`it answered with status ${response.statusCode}`)
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (text: string) => {
        body += text
        if (body.length > CHALLENGE_ANSWER_BYTES_MAX)
          fail(`its answer is longer than ${CHALLENGE_ANSWER_BYTES_MAX} bytes`)
      })
      response.on('end', () => resolve(body))
      response.on('error', reject)
    })
  })

function hostHeader({ address, port }: ChallengeTarget): string {
  return canonicalAddress(address)?.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
