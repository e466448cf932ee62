import assert from 'node:assert/strict'
import { test } from 'node:test'
import { benchRpc } from '../../bench/rpc.ts'

test('the RPC benchmark answers calls in one node, between two processes and by POST', {
  timeout: 60_000,
}, async () => {
  const rows = await benchRpc({ rounds: 1, secondsPerRound: 0.05 })
  assert.deepEqual(
    rows.map(({ name, inFlight }) => `${name} ${inFlight}`),
    [
      'in one node 1',
      'node to node 1',
      'node to node 64',
      'node to node 256',
      'POST /rpc 64',
      'POST, bare node:http2 64',
    ],
  )
  for (const { name, rates, p99Ms } of rows) {
    assert.ok((rates[0] as number) > 0, name)
    assert.ok(p99Ms > 0, name)
  }
})
