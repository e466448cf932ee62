import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FRAME_BYTES_MAX, HostChannel } from '../../../../src/service/host/host-channel.ts'
import { closed } from '../../../../src/service/link/link-failure.ts'
import { turn } from '../support/node.ts'

/** Two ends; every write is one chunk for the other. */
function pair() {
  const received: string[] = []
  const control: unknown[] = []
  const writes: Buffer[] = []
  let backlogBytes = 0
  const far: HostChannel = new HostChannel({
    label: 'far',
    pipe: { backlogBytes: 0, write: () => {}, close: () => {} },
    onCall: (payload) => received.push(Buffer.from(payload).toString()),
    onControl: (message) => control.push(message),
  })
  let isClosed = false
  const near = new HostChannel({
    label: 'service shop#1',
    pipe: {
      get backlogBytes() {
        return backlogBytes
      },
      write(bytes) {
        writes.push(bytes)
        far.receive(bytes)
      },
      close: () => (isClosed = true),
    },
    onCall: () => {},
    onControl: () => {},
  })
  return {
    near,
    far,
    received,
    control,
    writes,
    isClosed: () => isClosed,
    fill: (bytes: number) => (backlogBytes = bytes),
  }
}

test('messages of one callback leave in one write, in order, calls and control alike', async () => {
  const { near, received, control, writes } = pair()
  near.send(Buffer.from('one'))
  near.sendControl({ type: 'ping' })
  near.send(Buffer.from('two'))
  assert.equal(writes.length, 0)
  await turn()
  assert.deepEqual([writes.length, received, control], [1, ['one', 'two'], [{ type: 'ping' }]])
})

test('what was sent before the end still leaves; afterwards nothing does', async () => {
  const { near, received, isClosed } = pair()
  near.send(Buffer.from('last'))
  near.close('done')
  assert.deepEqual([received, isClosed()], [['last'], true])
  assert.throws(() => near.send(Buffer.from('late')), {
    code: 'P2P_TRANSPORT_CHANNEL_CLOSED',
    message: /service shop#1.*done/,
  })
  near.close()
  await turn()
  assert.deepEqual(received, ['last'])
})

test('a call that its end cuts short names the other end once', () => {
  const { near } = pair()
  near.ended('its process has ended')
  const { message } = closed(near.label, near.closed.reason)
  assert.equal(message, 'The connection to service shop#1 closed before the answer came: its process has ended')
})

test('too large, and too much for who does not read, is refused', () => {
  const { near, fill } = pair()
  assert.throws(() => near.send(Buffer.alloc(FRAME_BYTES_MAX + 1)), { code: 'P2P_TRANSPORT_TOO_LARGE' })
  fill(32 * 1024 * 1024)
  assert.throws(() => near.send(Buffer.from('x')), {
    code: 'P2P_TRANSPORT_OVERLOADED',
    message: /service shop#1 reads too slowly/,
  })
})

test('what is no frame, or no JSON, ends the channel', () => {
  for (const bytes of [Buffer.from([0xff, 0xff, 0xff, 0xff, 1]), Buffer.from([0, 0, 0, 1, 2, 0x7b])]) {
    const { far } = pair()
    far.receive(bytes)
    assert.equal(far.closed.aborted, true)
  }
})
