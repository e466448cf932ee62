import assert from 'node:assert/strict'
import { test } from 'node:test'
import { benchCertificates } from '../../../bench/certificates.ts'

test('the certificates bench runs', async () => {
  const [round, ...others] = await benchCertificates({ rounds: 1, certificates: 3 })
  assert.deepEqual(others, [])
  assert.ok(round && round.certificatesPerSecond > 0)
})
