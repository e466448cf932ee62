import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import type { TlsMaterial } from '../../src/base/credentials.ts'

/** HTTP/2 to a port of this machine, whose certificate names no address, with a certificate of its own. */
export async function openSession(port: number, material: TlsMaterial): Promise<ClientHttp2Session> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    ALPNProtocols: ['h2'],
    cert: material.certificateChainPem,
    key: material.keyPem,
    ca: material.trustPem,
    checkServerIdentity: () => undefined,
  })
  const session = connect('https://127.0.0.1', { createConnection: () => socket })
  await once(session, 'connect')
  return session
}
