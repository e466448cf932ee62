import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { fakeUser } from './fake-host.ts'
import { stubNode, testAuthority } from './stub-node.ts'

const authority = await testAuthority()
const ADDRESS = 'otpauth://totp/P2P%20Core%20c1:ada?secret=JBSWY3DPEHPK3PXP&issuer=P2P%20Core%20c1'
const ADA = { name: 'ada', role: 'operator', is_user: true, has_code: false, passkeys: [], sessions: [{ id: 's1' }] }

async function cluster(t: TestContext, account: object = ADA) {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  node.answers['POST /auth/token'] = { body: { access_token: 't', expires_in: 43_200, role: 'operator' } }
  node.answers['GET /auth/account'] = { body: account }
  node.answers['POST /auth/totp'] = { body: { secret: 'JBSWY3DPEHPK3PXP', address: ADDRESS } }
  node.answers['PUT /auth/totp'] = { body: { recovery_codes: ['aaaa-bbbb', 'cccc-dddd'] } }
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  const file = { cluster: 'c1', credential: `P2PO1-${'c'.repeat(43)}`, url: node.url, ca_certificate: authority.ca }
  writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(file))
  return { user, node }
}

suite('p2p account', () => {
  test('shows who one is and by what one signs in', async (t) => {
    const passkeys = [{ label: 'Laptop', host: 'p2p.example' }]
    const { user } = await cluster(t, { ...ADA, has_code: true, passkeys })
    const { code, output } = await user.run('account')
    assert.equal(code, 0)
    assert.match(output, /ada, operator/)
    assert.match(output, /Second step +on/)
    assert.match(output, /Passkey +Laptop, at p2p\.example, never used/)
  })

  test('sets a second step up with a picture, and gives out the recovery codes alone', async (t) => {
    const { user, node } = await cluster(t)
    user.typed = ['my password\r', '123 456\r']
    const { code, output, talk } = await user.run('account', 'totp')
    assert.equal(code, 0, talk)
    assert.equal(output, 'aaaa-bbbb\ncccc-dddd\n')
    assert.match(talk, /█▀▀▀▀▀█|█ ▄▄▄▄▄ █/, 'a QR code')
    assert.match(talk, /Key: JBSW Y3DP EHPK 3PXP/)
    assert.doesNotMatch(talk, /my password/)
    const bodies = node.requests.filter(({ path }) => path === '/auth/totp').map(({ body }) => body)
    assert.deepEqual(bodies, [{ password: 'my password' }, { code: '123456' }])
  })

  test('says why there is nothing to set up', async (t) => {
    const operator = await cluster(t, { ...ADA, is_user: false })
    const asOperator = await operator.user.run('account', 'totp')
    assert.deepEqual([asOperator.code, /p2p login --name/.test(asOperator.talk)], [2, true], asOperator.talk)
    const second = await cluster(t, { ...ADA, has_code: true })
    assert.equal((await second.user.run('account', 'totp')).code, 2)
    assert.ok(!second.node.requests.some(({ path }) => path === '/auth/totp'))
  })
})
