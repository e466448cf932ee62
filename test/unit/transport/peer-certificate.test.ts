import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import type { JsonGeneralNames } from '@peculiar/x509'
import { nodeIdentityOf, serialOf } from '../../../src/transport/peer-certificate.ts'
import { createTestAuthority } from './certificates.ts'

const authority = await createTestAuthority('test')
const NODE = 'spiffe://test/node/worker/n1'

async function certificateWith(names: JsonGeneralNames): Promise<X509Certificate> {
  return new X509Certificate((await authority.issue({ nodeId: 'n1', names })).certificateChainPem)
}

test('the one SPIFFE URI names the node, whatever other names stand beside it', async () => {
  const names: JsonGeneralNames = [
    { type: 'dns', value: 'n1.lan' },
    { type: 'url', value: NODE },
    { type: 'ip', value: '2001:db8::1' },
  ]
  assert.deepEqual(nodeIdentityOf(await certificateWith(names)), { cluster: 'test', role: 'worker', nodeId: 'n1' })
})

test('no URI, two URIs, or a URI of another form names nobody', async () => {
  const uri = (value: string): { type: 'url'; value: string } => ({ type: 'url', value })
  const refused: JsonGeneralNames[] = [
    [{ type: 'dns', value: 'n1.lan' }],
    [uri(NODE), uri('spiffe://test/node/coordinator/n2')],
    [uri(NODE), uri('https://example.org')],
    [uri('spiffe://test/node/admin/n1')],
    [uri('spiffe://test/node/worker/n1/extra')],
    [uri('https://test/node/worker/n1')],
  ]
  for (const names of refused)
    assert.equal(nodeIdentityOf(await certificateWith(names)), undefined, JSON.stringify(names))
})

test('a name that imitates the list of names does not become an identity', async () => {
  const names: JsonGeneralNames = [{ type: 'dns', value: `x, URI:${NODE}, DNS:y` }]
  assert.equal(nodeIdentityOf(await certificateWith(names)), undefined)
})

test('the serial is given in lower case', async () => {
  const leaf = await authority.issue({ nodeId: 'n1' })
  assert.equal(serialOf(new X509Certificate(leaf.certificateChainPem)), leaf.serial)
})
