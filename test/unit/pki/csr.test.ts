import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { PkiError } from '../../../src/base/errors.ts'
import { createCsr, generateNodeKey } from '../../../src/pki/x509/csr.ts'
import { fromPem, toPem } from '../../../src/pki/x509/pem.ts'
import { readCsr as read } from '../../../src/pki/x509/read-csr.ts'
import { openssl, skipWithoutOpenssl } from './openssl.ts'

/** As a promise, so that refusals are rejections. */
const readCsr = async (pem: string) => read(pem)
const refused = { code: 'P2P_PKI_CSR_REJECTED' }
const csr = createCsr(await generateNodeKey(), 'worker-1')
const csrDer = fromPem('CERTIFICATE REQUEST', csr) as Uint8Array

test('openssl reads the request of a node and verifies its signature', { skip: skipWithoutOpenssl }, () => {
  const { ok, output } = openssl(['req', '-in', 'a.csr', '-verify', '-noout', '-subject'], { 'a.csr': csr })
  assert.ok(ok, output)
  assert.match(output, /CN\s*=\s*worker-1/)
})

test('the CA reads the key of a request', async () => {
  const found = await readCsr(csr)
  assert.deepEqual(Buffer.from(found.der), Buffer.from(csrDer))
  assert.match(found.keyFingerprint, /^[0-9a-f]{64}$/)
})

test('a request on P-384 made by openssl is accepted', { skip: skipWithoutOpenssl }, async () => {
  await readCsr(opensslCsr({ type: 'ec', curve: 'secp384r1' }))
})

for (const [what, key] of Object.entries({
  'an RSA key': { type: 'rsa' },
  'an Ed25519 key': { type: 'ed25519' },
  'a P-521 key': { type: 'ec', curve: 'secp521r1' },
  'a key on a curve not meant for TLS': { type: 'ec', curve: 'secp256k1' },
} as const)) {
  test(`${what} is refused`, { skip: skipWithoutOpenssl }, async () => {
    await assert.rejects(readCsr(opensslCsr(key)), refused)
  })
}

test('a request signed with another key is refused', async () => {
  const other = fromPem('CERTIFICATE REQUEST', createCsr(await generateNodeKey(), 'worker-1')) as Uint8Array
  // The key lies at the same place in both; the signature is then of the other key.
  const mixed = Buffer.from(csrDer)
  const keyAt = mixed.indexOf(Buffer.from('03420004', 'hex'))
  Buffer.from(other).copy(mixed, keyAt, keyAt, keyAt + 68)
  await assert.rejects(readCsr(toPem('CERTIFICATE REQUEST', mixed)), refused)
})

test('no change of a bit in what is signed is accepted, and none anywhere makes the CA read another key', async () => {
  const { keyFingerprint } = await readCsr(csr)
  const signedBytes = 3 + 2 + (csrDer[4] as number)
  for (let at = 0; at < csrDer.length; at++) {
    const changed = Buffer.from(csrDer)
    changed[at] = (changed[at] as number) ^ (1 << (at % 8))
    const reading = readCsr(toPem('CERTIFICATE REQUEST', changed))
    if (at >= 3 && at < signedBytes) await assert.rejects(reading, refused, `byte ${at}`)
    else await reading.then((accepted) => assert.equal(accepted.keyFingerprint, keyFingerprint), isRefusal)
  }
})

test('a request cut anywhere is refused', async () => {
  for (let length = 0; length < csrDer.length; length++) {
    await assert.rejects(readCsr(toPem('CERTIFICATE REQUEST', csrDer.subarray(0, length))), refused, `${length} bytes`)
  }
})

test('no bytes crash the reader', async () => {
  const nested = fc
    .array(fc.constantFrom(0x30, 0x31, 0xa0, 0x04, 0x03, 0x24), { maxLength: 300 })
    .map((tags): Uint8Array => tags.reduceRight<Buffer>((inner, tag) => wrap(tag, inner), Buffer.alloc(0)))
  const bytes: fc.Arbitrary<Uint8Array> = fc.oneof(fc.uint8Array({ maxLength: 512 }), nested)
  await fc.assert(
    fc.asyncProperty(bytes, async (der) => {
      await assert.rejects(readCsr(toPem('CERTIFICATE REQUEST', der)), refused)
    }),
    { numRuns: 500 },
  )
})

test('no text crashes the reader', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.string().map((inner) => csr.replace('\n', inner)),
  )
  await fc.assert(
    fc.asyncProperty(text, async (pem) => {
      await readCsr(pem).catch((error: unknown) => assert.ok(error instanceof PkiError))
    }),
    { numRuns: 300 },
  )
})

test('deep, wide and oversized requests are refused without effort', async () => {
  const deep = Array.from({ length: 3_000 }).reduce<Buffer>((inner) => wrap(0x30, inner), Buffer.alloc(0))
  const wide = wrap(0x30, Buffer.from('0500'.repeat(5_000), 'hex'))
  for (const der of [deep, wide, Buffer.alloc(11_000, 0x30)]) {
    await assert.rejects(readCsr(toPem('CERTIFICATE REQUEST', der.subarray(0, 12_000))), refused)
  }
  await assert.rejects(readCsr(`${csr}${' '.repeat(17_000)}`), refused)
  await assert.rejects(readCsr(toPem('CERTIFICATE', csrDer)), refused)
  await assert.rejects(readCsr(csr + csr), refused)
})

function isRefusal(error: unknown): void {
  assert.ok(error instanceof PkiError && error.code === 'P2P_PKI_CSR_REJECTED', String(error))
}

function wrap(tag: number, inner: Buffer): Buffer {
  const { length } = inner
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), inner])
}

function opensslCsr(key: { type: 'rsa' | 'ed25519' | 'ec'; curve?: string }): string {
  const pem = {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }
  const { privateKey } =
    key.type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2_048, ...pem } as never)
      : key.type === 'ed25519'
        ? generateKeyPairSync('ed25519', pem as never)
        : generateKeyPairSync('ec', { namedCurve: key.curve as string, ...pem } as never)
  const { ok, output } = openssl(['req', '-new', '-key', 'key.pem', '-subj', '/CN=worker-1'], {
    'key.pem': privateKey as unknown as string,
  })
  assert.ok(ok, output)
  return output
}
