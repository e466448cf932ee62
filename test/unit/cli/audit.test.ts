import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { fakeUser } from './fake-host.ts'
import { stubNode, testAuthority } from './stub-node.ts'

const authority = await testAuthority()

/** A trail of so many records, answered page by page. */
async function trail(t: TestContext, count: number) {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  node.answers['POST /auth/token'] = { body: { access_token: 't', expires_in: 43_200, role: 'admin' } }
  node.answers['GET /api/audit'] = ({ path }) => {
    const query = new URL(path, node.url).searchParams
    const [before, limit] = [Number(query.get('before') ?? count + 1), Number(query.get('limit'))]
    const seqs = Array.from({ length: Math.min(limit, before - 1) }, (_, index) => before - 1 - index)
    const record = { time: '2026-01-02T03:04:05.000Z', phase: 'outcome', act: 'POST /api/tokens', who: 'person:ada' }
    return { body: { records: seqs.map((seq) => ({ seq, ...record, outcome: 'succeeded' })) } }
  }
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  const file = { cluster: 'c1', credential: `P2PO1-${'c'.repeat(43)}`, url: node.url, ca_certificate: authority.ca }
  writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(file))
  return { user, node }
}

suite('p2p audit', () => {
  test('shows who did what, as many records as asked for', async (t) => {
    const { user, node } = await trail(t, 3_000)
    const { code, output } = await user.run('audit', '--limit', '5', '--who', 'ada')
    assert.equal(code, 0)
    assert.match(output, /3000 +2026-01-02 03:04:05 +person:ada/)
    assert.equal(output.trim().split('\n').length, 6)
    assert.match(node.requests.at(-1)?.path ?? '', /limit=5&who=ada$/)
  })

  test('exports every record, whatever the number, newest first, a line each', async (t) => {
    for (const count of [0, 1, 1_000, 2_500]) {
      const { user, node } = await trail(t, count)
      const { code, output, talk } = await user.run('audit', '--export')
      assert.equal(code, 0, talk)
      const lines = output.split('\n').filter((line) => line !== '')
      const seqs = lines.map((line) => (JSON.parse(line) as { seq: number }).seq)
      assert.deepEqual(
        seqs,
        Array.from({ length: count }, (_, index) => count - index),
      )
      assert.match(talk, new RegExp(`${count} records`))
      assert.equal(
        node.requests.filter(({ path }) => path.startsWith('/api/audit')).length,
        Math.floor((count - 1) / 1_000) + 1 || 1,
      )
    }
  })
})
