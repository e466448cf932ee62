import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import { testAuthority } from '../../cli/stub-node.ts'

/** A small OpenID Connect provider over TLS on loopback, at which everybody is signed in already. */
export interface StubProvider {
  issuer: string
  /** Its root, PEM. */
  ca: string
  publicJwk: JWK
  /** Claims of the next ID token, over the right ones. */
  claims: JWTPayload
  /** Makes the ID token instead. */
  forge: ((claims: JWTPayload) => Promise<string> | string) | undefined
  /** Over what it says of itself. */
  metadata: Record<string, unknown>
  /** `GET /authorize …`, in order. */
  asked: string[]
  /** What a browser does: goes to the provider, and is sent back. @returns where to */
  visit: (address: string) => URL
  sign: (claims: JWTPayload) => Promise<string>
  /** New keys, under a new id. */
  rotate: () => Promise<void>
  [Symbol.asyncDispose]: () => Promise<void>
}

export const CLIENT = { id: 'p2p core', secret: 'a secret: with & signs' }

/** @param host by which its issuer is named: another one than the cluster's is another site to a browser */
export async function startProvider(nowMs: () => number, host = '127.0.0.1'): Promise<StubProvider> {
  const { ca, cert, key } = await testAuthority([
    { type: 'ip', value: '127.0.0.1' },
    { type: 'dns', value: 'localhost' },
  ])
  const codes = new Map<string, URLSearchParams>()
  let keys = await makeKeys('k1')
  const server = createServer({ cert, key })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `https://${host}:${(server.address() as AddressInfo).port}/team`

  const provider: StubProvider = {
    issuer,
    ca,
    get publicJwk() {
      return keys.publicJwk
    },
    claims: {},
    forge: undefined,
    metadata: {},
    asked: [],
    visit(address) {
      const { pathname, searchParams } = new URL(address)
      provider.asked.push(`GET ${pathname}`)
      const code = `code-${codes.size + 1}`
      codes.set(code, searchParams)
      const back = new URL(searchParams.get('redirect_uri') as string)
      back.searchParams.set('code', code)
      back.searchParams.set('state', searchParams.get('state') as string)
      back.searchParams.set('iss', issuer)
      return back
    },
    sign: (claims) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: keys.publicJwk.kid as string }).sign(keys.privateKey),
    async rotate() {
      keys = await makeKeys('k2')
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }

  async function tokenFor(request: IncomingMessage): Promise<[status: number, body: object]> {
    const form = new URLSearchParams(Buffer.concat(await request.toArray()).toString())
    const asked = codes.get(form.get('code') ?? '')
    codes.delete(form.get('code') ?? '')
    const pair = `${encodeURIComponent(CLIENT.id)}:${encodeURIComponent(CLIENT.secret)}`
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url')
    const isRight =
      asked?.get('code_challenge_method') === 'S256' &&
      asked.get('code_challenge') === challenge &&
      asked.get('redirect_uri') === form.get('redirect_uri') &&
      form.get('grant_type') === 'authorization_code' &&
      request.headers.authorization === `Basic ${Buffer.from(pair).toString('base64')}`
    if (!isRight) return [400, { error: 'invalid_grant' }]
    const nowS = Math.floor(nowMs() / 1_000)
    const claims = {
      iss: issuer,
      aud: CLIENT.id,
      sub: '4711',
      nonce: asked.get('nonce'),
      iat: nowS,
      exp: nowS + 300,
      ...provider.claims,
    }
    const token = await (provider.forge ?? provider.sign)(claims)
    return [200, { access_token: 'x', token_type: 'Bearer', id_token: token }]
  }

  server.on('request', (request, response) => {
    const { pathname, href } = new URL(request.url ?? '/', issuer)
    if (pathname === '/team/authorize') {
      response.writeHead(302, { location: provider.visit(href).href }).end()
      return
    }
    provider.asked.push(`${request.method} ${pathname}`)
    const answer = async (): Promise<[number, object]> => {
      if (pathname === '/team/token') return tokenFor(request)
      if (pathname === '/team/jwks') return [200, { keys: [keys.publicJwk] }]
      if (pathname !== '/team/.well-known/openid-configuration') return [404, {}]
      const endpoint = (name: string): string => `${issuer}/${name}`
      const metadata = {
        issuer,
        authorization_endpoint: endpoint('authorize'),
        token_endpoint: endpoint('token'),
        jwks_uri: endpoint('jwks'),
      }
      return [200, { ...metadata, ...provider.metadata }]
    }
    void answer().then(([status, body]) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    })
  })
  return provider
}

async function makeKeys(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  return { privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } as JWK }
}
