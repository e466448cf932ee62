import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLoopLagMeter } from '../../../src/platform/index.ts'
import { createIoCounters, parseDiskStats, parseNetDev } from '../../../src/platform/io-counters.ts'

test('network counters are those of real interfaces: what bridges carry is counted once', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0
  eth0: 1000 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0
wlan0:50 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0
docker0: 888 1 0 0 0 0 0 0 888 1 0 0 0 0 0 0
veth12a: 777 1 0 0 0 0 0 0 777 1 0 0 0 0 0 0
`
  assert.deepEqual(parseNetDev(text), { receivedBytes: 1_050, sentBytes: 207 })
  assert.deepEqual(parseNetDev(''), { receivedBytes: 0, sentBytes: 0 })
})

test('disk counters are those of whole disks', () => {
  const text = `   8       0 sda 100 0 2000 0 50 0 300 0 0 0 0
   8       1 sda1 100 0 2000 0 50 0 300 0 0 0 0
 259       0 nvme0n1 1 0 2 0 1 0 4 0 0 0 0
 259       1 nvme0n1p1 1 0 2 0 1 0 4 0 0 0 0
 253       0 dm-0 1 0 9 0 1 0 9 0 0 0 0
   7       0 loop0 1 0 9 0 1 0 9 0 0 0 0
`
  assert.deepEqual(parseDiskStats(text), { readBytes: 2_002 * 512, writtenBytes: 304 * 512 })
})

test('this machine tells its counters, or that it has none', async () => {
  const io = createIoCounters()
  for (const counters of [await io.network(), await io.disk()]) {
    for (const value of Object.values(counters ?? {})) assert.ok(Number.isInteger(value) && value >= 0)
  }
  const processes = await io.processCount()
  assert.ok(processes === undefined || processes > 0)
})

test('the lag of the event loop is never negative', () => {
  const meter = createLoopLagMeter()
  assert.equal(meter.takeMaxMs(), 0)
  meter.stop()
})
