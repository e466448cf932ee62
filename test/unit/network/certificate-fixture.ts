import 'reflect-metadata'
import { KeyObject, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  type JsonGeneralNames,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { Credentials } from '../../../src/base/credentials.ts'

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
export const WALL_MS = 1_770_000_000_000
const DAY_MS = 86_400_000

export interface Issued {
  pem: string
  name: string
  keys: webcrypto.CryptoKeyPair
}

interface CertificateOptions {
  issuer?: Issued
  isCa?: boolean
  names?: JsonGeneralNames
  serial?: string
  notBeforeMs?: number
  notAfterMs?: number
  algorithm?: typeof ECDSA | { name: 'Ed25519' }
}

export async function issue(name: string, options: CertificateOptions = {}): Promise<Issued> {
  const keys = (await webcrypto.subtle.generateKey(options.algorithm ?? ECDSA, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair
  const certificate = await X509CertificateGenerator.create({
    serialNumber: options.serial ?? '01',
    subject: `CN=${name}`,
    issuer: `CN=${options.issuer?.name ?? name}`,
    notBefore: new Date(options.notBeforeMs ?? WALL_MS - DAY_MS),
    notAfter: new Date(options.notAfterMs ?? WALL_MS + DAY_MS),
    signingAlgorithm: ECDSA,
    publicKey: keys.publicKey,
    signingKey: (options.issuer?.keys ?? keys).privateKey,
    extensions: [
      new BasicConstraintsExtension(options.isCa ?? false, undefined, true),
      ...(options.names ? [new SubjectAlternativeNameExtension(options.names)] : []),
    ],
  })
  return { pem: certificate.toString('pem'), name, keys }
}

export interface TestCa {
  root: Issued
  issuing: Issued
}

export async function createCa(): Promise<TestCa> {
  const root = await issue('root', { isCa: true, serial: '0a' })
  return { root, issuing: await issue('issuing', { isCa: true, issuer: root, serial: '0b' }) }
}

export const spiffe = (nodeId: string, role = 'worker', cluster = 'test'): { type: 'url'; value: string } => ({
  type: 'url',
  value: `spiffe://${cluster}/node/${role}/${nodeId}`,
})

export async function createCredentials(
  ca: TestCa,
  nodeId: string,
  options: CertificateOptions = {},
): Promise<Credentials> {
  const leaf = await issue(nodeId, { issuer: ca.issuing, names: [spiffe(nodeId)], serial: '0c', ...options })
  const material = {
    certificateChainPem: `${leaf.pem}\n${ca.issuing.pem}`,
    keyPem: KeyObject.from(leaf.keys.privateKey).export({ type: 'pkcs8', format: 'pem' }) as string,
    trustPem: ca.root.pem,
  }
  return { current: () => material, onChange: () => () => {} }
}
