import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import {
  BasicConstraintsExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** A root and a server certificate it signed, PEM. */
export interface TestAuthority {
  ca: string
  cert: string
  key: string
}

/** @param names SANs of the server certificate */
export async function testAuthority(
  names: { type: 'dns' | 'ip'; value: string }[] = [{ type: 'ip', value: '127.0.0.1' }],
  notAfter = new Date(Date.now() + 3_600_000),
): Promise<TestAuthority> {
  const notBefore = new Date(Date.now() - 7_200_000)
  const rootKeys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const leafKeys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const root = await X509CertificateGenerator.createSelfSigned(
    {
      name: 'CN=test root',
      notBefore,
      notAfter: new Date(Date.now() + 3_600_000),
      keys: rootKeys,
      signingAlgorithm: P256,
      extensions: [new BasicConstraintsExtension(true, 1, true)],
    },
    webcrypto as Crypto,
  )
  const leaf = await X509CertificateGenerator.create(
    {
      subject: 'CN=node',
      issuer: root.subject,
      notBefore,
      notAfter,
      publicKey: leafKeys.publicKey,
      signingKey: rootKeys.privateKey,
      signingAlgorithm: P256,
      extensions: [new SubjectAlternativeNameExtension(names)],
    },
    webcrypto as Crypto,
  )
  const key = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey), 'PRIVATE KEY')
  return { ca: root.toString('pem'), cert: leaf.toString('pem'), key }
}

export interface StubRequest {
  method: string
  path: string
  authorization: string | undefined
  headers: Record<string, string | string[] | undefined>
  body: unknown
}

export type StubAnswer = { status?: number; body?: unknown; headers?: Record<string, string>; hangs?: boolean }

/** An HTTPS server that answers what the test says and remembers what it was asked. */
export interface StubNode {
  url: string
  port: number
  requests: StubRequest[]
  /** By `METHOD /path`, with or without query; a function gets the request. */
  answers: Record<string, StubAnswer | ((request: StubRequest) => StubAnswer)>
}

export async function stubNode(t: TestContext, authority: TestAuthority): Promise<StubNode> {
  const stub: StubNode = { url: '', port: 0, requests: [], answers: {} }
  const server: Server = createServer({ cert: authority.cert, key: authority.key }, (incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const bytes = Buffer.concat(chunks)
      const isJson = incoming.headers['content-type'] === 'application/json'
      const request: StubRequest = {
        method: incoming.method ?? '',
        path: incoming.url ?? '',
        authorization: incoming.headers.authorization,
        headers: incoming.headers,
        body: bytes.length === 0 ? undefined : isJson ? JSON.parse(bytes.toString()) : bytes,
      }
      stub.requests.push(request)
      const key = `${request.method} ${request.path}`
      const found = stub.answers[key] ?? stub.answers[key.split('?')[0] as string]
      const {
        status = 200,
        body,
        headers = {},
        hangs,
      } = found === undefined
        ? problem('P2P_HTTP_NOT_FOUND', 404)
        : typeof found === 'function'
          ? found(request)
          : found
      if (hangs) return
      const payload = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
      outgoing.writeHead(status, { 'content-type': 'application/json', ...headers }).end(payload)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  stub.port = (server.address() as AddressInfo).port
  stub.url = `https://127.0.0.1:${stub.port}`
  return stub
}

/** Problem details as a node sends them. */
export function problem(code: string, status: number, more: object = {}): StubAnswer {
  return {
    status,
    body: {
      type: `urn:p2p-core:error:${code}`,
      title: 'Refused',
      status,
      detail: `refused with ${code}`,
      code,
      ...more,
    },
  }
}
