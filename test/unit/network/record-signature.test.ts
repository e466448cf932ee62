import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { before, test } from 'node:test'
import { utf8 } from '../../../src/base/bytes.ts'
import type { Credentials } from '../../../src/base/credentials.ts'
import { createRecordSigner, createRecordVerifier } from '../../../src/network/index.ts'
import { createCa, createCredentials, issue, spiffe, type TestCa, WALL_MS } from './certificate-fixture.ts'

const bytes = utf8('{"nodeId":"a"}')
const HOUR_MS = 3_600_000
let ca: TestCa
let own: Credentials

before(async () => {
  ca = await createCa()
  own = await createCredentials(ca, 'self')
})

function verifier(options: { revoked?: string[]; wallMs?: number; credentials?: Credentials } = {}) {
  return createRecordVerifier({
    credentials: options.credentials ?? own,
    revocations: { isRevoked: (serial) => options.revoked?.includes(serial) ?? false, onChange: () => () => {} },
    clock: {
      nowMs: () => 0,
      wallMs: () => options.wallMs ?? WALL_MS,
      after: () => ({ cancel: () => {} }),
      every: () => ({ cancel: () => {} }),
    },
  })
}

async function signed(nodeId: string, options: Parameters<typeof createCredentials>[2] = {}) {
  const signer = createRecordSigner(await createCredentials(ca, nodeId, options))
  return { signature: signer.sign(bytes), chain: signer.certificateChainPem }
}

test('a signature with the key of a valid certificate names its node, with ECDSA and with EdDSA', async () => {
  for (const algorithm of [undefined, { name: 'Ed25519' } as const]) {
    const { signature, chain } = await signed('a', algorithm && { algorithm })
    assert.equal(signature.length, 64)
    assert.deepEqual(verifier().verify(bytes, signature, chain), { cluster: 'test', role: 'worker', nodeId: 'a' })
  }
})

test('other bytes, another signature and another chain do not verify', async () => {
  const { signature, chain } = await signed('a')
  const other = await signed('b')
  const check = verifier()
  assert.equal(check.verify(utf8('{"nodeId":"b"}'), signature, chain), undefined)
  assert.equal(check.verify(bytes, other.signature, chain), undefined)
  assert.equal(check.verify(bytes, signature.subarray(0, 63), chain), undefined)
  assert.equal(check.verify(bytes, new Uint8Array(0), chain), undefined)
  assert.equal(check.verify(bytes, signature, other.chain), undefined)
})

test('a chain that is no chain does not verify', async () => {
  const { signature, chain } = await signed('a')
  const leafOnly = chain.slice(0, chain.indexOf('-----END CERTIFICATE-----') + 25)
  const damaged = chain.replace(/[A-Za-z0-9]{10}\n/, 'AAAAAAAAAA\n')
  for (const bad of ['', 'nonsense', leafOnly, damaged, ca.issuing.pem, `${ca.root.pem}${chain}`]) {
    assert.equal(verifier().verify(bytes, signature, bad), undefined)
  }
})

test('a chain to another root does not verify, though everything has the same names', async () => {
  const strangers = await createCa()
  const signer = createRecordSigner(await createCredentials(strangers, 'a'))
  assert.equal(verifier().verify(bytes, signer.sign(bytes), signer.certificateChainPem), undefined)
})

test('a node certificate is no issuer', async () => {
  const node = await issue('evil', { issuer: ca.issuing, names: [spiffe('evil')] })
  const forged = await createCredentials({ root: ca.root, issuing: node }, 'a')
  const chain = `${forged.current().certificateChainPem}\n${ca.issuing.pem}`
  const signer = createRecordSigner(forged)
  assert.equal(verifier().verify(bytes, signer.sign(bytes), chain), undefined)
})

test('a CA certificate signs no record', async () => {
  const { signature, chain } = await signed('a', { isCa: true })
  assert.equal(verifier().verify(bytes, signature, chain), undefined)
})

test('validity is checked at each use, with five minutes of tolerance', async () => {
  const { signature, chain } = await signed('a', { notBeforeMs: WALL_MS - HOUR_MS, notAfterMs: WALL_MS + HOUR_MS })
  const at = (wallMs: number): boolean => verifier({ wallMs }).verify(bytes, signature, chain) !== undefined
  assert.deepEqual([at(WALL_MS), at(WALL_MS + HOUR_MS + 240_000), at(WALL_MS + HOUR_MS + 360_000)], [true, true, false])
  assert.deepEqual([at(WALL_MS - HOUR_MS - 240_000), at(WALL_MS - HOUR_MS - 360_000)], [true, false])
})

test('a revoked leaf and a revoked issuing CA end it', async () => {
  const { signature, chain } = await signed('a', { serial: '7f01' })
  assert.ok(verifier({ revoked: ['99'] }).verify(bytes, signature, chain))
  assert.equal(verifier({ revoked: ['7f01'] }).verify(bytes, signature, chain), undefined)
  assert.equal(verifier({ revoked: ['0b'] }).verify(bytes, signature, chain), undefined)
})

test('exactly one SPIFFE id counts, and a name that contains one is not one', async () => {
  const two = await signed('a', { names: [spiffe('a'), spiffe('b')] })
  assert.equal(verifier().verify(bytes, two.signature, two.chain), undefined)
  const none = await signed('a', { names: [{ type: 'dns', value: 'a.example' }] })
  assert.equal(verifier().verify(bytes, none.signature, none.chain), undefined)
  const sly = await signed('a', { names: [{ type: 'dns', value: 'x, URI:spiffe://test/node/coordinator/boss' }] })
  assert.equal(verifier().verify(bytes, sly.signature, sly.chain), undefined)
  const beside = await signed('a', {
    names: [{ type: 'dns', value: 'a.example' }, spiffe('a'), { type: 'ip', value: '10.0.0.1' }],
  })
  assert.equal(verifier().verify(bytes, beside.signature, beside.chain)?.nodeId, 'a')
})

test('new trust anchors are in force at once', async () => {
  const { signature, chain } = await signed('a')
  const strangers = await createCa()
  let trustPem = ca.root.pem
  const material = own.current()
  const check = verifier({ credentials: { current: () => ({ ...material, trustPem }), onChange: () => () => {} } })
  assert.ok(check.verify(bytes, signature, chain))
  trustPem = strangers.root.pem
  assert.equal(check.verify(bytes, signature, chain), undefined)
  trustPem = `${strangers.root.pem}\n${ca.root.pem}`
  assert.ok(check.verify(bytes, signature, chain))
})

test('the signer follows a renewed certificate', async () => {
  const [first, second] = [await createCredentials(ca, 'a'), await createCredentials(ca, 'a')]
  let current = first
  const signer = createRecordSigner({ current: () => current.current(), onChange: () => () => {} })
  signer.sign(bytes)
  current = second
  assert.ok(verifier().verify(bytes, signer.sign(bytes), second.current().certificateChainPem))
  assert.equal(signer.certificateChainPem, second.current().certificateChainPem)
})

test('a signer is certified until the longest of its certificates ends, unless that is revoked', async () => {
  const short = await signed('a', { notAfterMs: WALL_MS + HOUR_MS })
  const long = await signed('a', { notAfterMs: WALL_MS + 2 * HOUR_MS })
  const revoked: string[] = []
  const check = verifier({ revoked })
  assert.equal(check.certifiedUntil('a'), 0)
  for (const { signature, chain } of [long, short]) check.verify(bytes, signature, chain)
  assert.equal(check.certifiedUntil('a'), WALL_MS + 2 * HOUR_MS)
  assert.equal(check.certifiedUntil('b'), 0)
  check.verify(bytes, short.signature, (await signed('b')).chain)
  assert.equal(check.certifiedUntil('b'), 0, 'a certificate that is only shown proves nothing')
  revoked.push(new X509Certificate(long.chain).serialNumber.toLowerCase())
  assert.equal(check.certifiedUntil('a'), 0)
})
