import { createHash, timingSafeEqual } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { get } from 'node:http'
import { connect, type TLSSocket } from 'node:tls'
import { toBase64Url } from '../../base/bytes.ts'
import { messageOf } from '../../base/errors.ts'
import { AcmeProblem } from '../acme/problem.ts'
import { resolveHost } from '../address-proof.ts'
import { canonicalAddress } from '../address.ts'
import type { ChallengeProbes, ChallengeQuestion } from './challenge-prover.ts'

const HTTP_PATH = '/.well-known/acme-challenge/'
/** A key authorization has some 90 bytes; white space behind it is let through. */
const ANSWER_BYTES_MAX = 512
const ALPN_PROTOCOL = 'acme-tls/1'
const TXT_RECORDS_MAX = 64

export interface ChallengeProbeOptions {
  /** Where the answers are looked for; RFC 8555 says 80 and 443. */
  httpPort?: number
  tlsPort?: number
  /** `host:port` of name servers, instead of those of the system. */
  nameServers?: readonly string[]
}

/** The real {@link ChallengeProbes}. */
export function createChallengeProbes(options: ChallengeProbeOptions = {}): ChallengeProbes {
  const { httpPort = 80, tlsPort = 443, nameServers } = options
  return {
    resolve: resolveHost,
    http: (address, question, signal) => askHttp({ address, port: httpPort }, question, signal),
    tlsAlpn: (address, question, signal) => askTls({ address, port: tlsPort }, question, signal),
    dns: (question, signal) => askDns(nameServers, question, signal),
  }
}

interface Place {
  address: string
  port: number
}

/** One GET over plain HTTP/1.1; redirects are not followed, because they would make this server a way into other networks. */
function askHttp({ address, port }: Place, question: ChallengeQuestion, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get({
      host: address,
      port,
      path: HTTP_PATH + question.token,
      headers: { connection: 'close', host: hostHeader(question.identifier.value, port) },
      agent: false,
      maxHeaderSize: 4_096,
      signal,
    })
    const fail = (reason: string): void => {
      const where = `http://${hostHeader(question.identifier.value, port)}${HTTP_PATH}${question.token}`
      reject(new AcmeProblem('incorrectResponse', `${where} (${address}): ${reason}`))
      request.destroy()
    }
    request.on('error', (error) =>
      reject(new AcmeProblem('connection', `${address} port ${port}: ${messageOf(error)}`)),
    )
    request.on('response', (response) => {
      if (response.statusCode !== 200) return fail(`status ${response.statusCode} (redirects are not followed)`)
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (text: string) => {
        body += text
        if (body.length > ANSWER_BYTES_MAX) fail(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`)
      })
      response.on('end', () =>
        body.trimEnd() === question.keyAuthorization ? resolve() : fail('the answer is not the key authorization'),
      )
      response.on('error', reject)
    })
  })
}

async function askDns(
  nameServers: readonly string[] | undefined,
  { identifier, keyAuthorization }: ChallengeQuestion,
  signal: AbortSignal,
): Promise<void> {
  const name = `_acme-challenge.${identifier.value}`
  // A resolver of its own each time: the system's may keep for minutes that there was no record.
  const resolver = new Resolver({ timeout: 2_000, tries: 2 })
  if (nameServers) resolver.setServers(nameServers)
  const onAbort = (): void => resolver.cancel()
  signal.addEventListener('abort', onAbort, { once: true })
  let records: string[][]
  try {
    records = await resolver.resolveTxt(name)
  } catch (error) {
    throw new AcmeProblem('dns', `There is no TXT record ${name}: ${messageOf(error)}`)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
  const expected = toBase64Url(createHash('sha256').update(keyAuthorization).digest())
  if (records.slice(0, TXT_RECORDS_MAX).some((parts) => parts.join('') === expected)) return
  throw new AcmeProblem('incorrectResponse', `None of the ${records.length} TXT records ${name} is ${expected}`)
}

async function askTls({ address, port }: Place, question: ChallengeQuestion, signal: AbortSignal): Promise<void> {
  const where = `${address} port ${port}`
  const socket = await handshake({ address, port }, serverName(question.identifier.value), signal).catch((error) => {
    throw new AcmeProblem('tls', `${where} made no TLS connection for ${ALPN_PROTOCOL}: ${messageOf(error)}`)
  })
  try {
    if (socket.alpnProtocol !== ALPN_PROTOCOL) {
      throw new AcmeProblem('tls', `${where} does not speak ${ALPN_PROTOCOL}`)
    }
    const certificate = socket.getPeerX509Certificate()
    if (!certificate) throw new AcmeProblem('tls', `${where} showed no certificate`)
    const { readAcmeTlsCertificate } = await import('../x509/acme-tls-certificate.ts')
    const shown = readAcmeTlsCertificate(certificate.raw)
    const digest = createHash('sha256').update(question.keyAuthorization).digest()
    const isOurs = shown?.digest.length === digest.length && timingSafeEqual(shown.digest, digest)
    if (shown && isOurs && shown.names.length === 1 && shown.names[0] === question.identifier.value) return
    throw new AcmeProblem('incorrectResponse', `The certificate of ${where} does not answer the challenge (RFC 8737)`)
  } finally {
    socket.destroy()
  }
}

/** The certificate is not verified: it proves something by what it holds, not by who signed it (RFC 8737 section 3). */
function handshake({ address, port }: Place, servername: string, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address,
      port,
      servername,
      ALPNProtocols: [ALPN_PROTOCOL],
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
    })
    const onAbort = (): void => void socket.destroy(new Error('no answer in time'))
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('close', () => signal.removeEventListener('abort', onAbort))
    socket.once('error', reject)
    socket.once('secureConnect', () => resolve(socket))
  })
}

/** The name asked for; of an address its name in the reverse tree (RFC 8738 section 6). */
function serverName(value: string): string {
  const address = canonicalAddress(value)
  if (address === undefined) return value
  if (!address.includes(':')) return `${address.split('.').reverse().join('.')}.in-addr.arpa`
  return `${expanded(address).split('').reverse().join('.')}.ip6.arpa`
}

/** The 32 hex digits of an IPv6 address. */
function expanded(address: string): string {
  const [head = '', tail] = address.split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':').map((group) => group.padStart(4, '0')))
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  return [...left, ...Array<string>(8 - left.length - right.length).fill('0000'), ...right].join('')
}

function hostHeader(value: string, port: number): string {
  const host = canonicalAddress(value)?.includes(':') ? `[${value}]` : value
  return port === 80 ? host : `${host}:${port}`
}
