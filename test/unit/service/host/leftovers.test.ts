import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../../src/base/log.ts'
import { Leftovers } from '../../../../src/service/host/leftovers.ts'
import { world } from '../../storage/support.ts'

test('a process that ends before it was noted is not noted afterwards', async () => {
  const { disk } = world()
  const leftovers = new Leftovers({ files: disk, log: silentLogger }, '/state')
  const noted = leftovers.began(process.pid, 'shop#1')
  await leftovers.ended(process.pid)
  await noted
  await leftovers.began(process.ppid, 'shop#2')
  const text = Buffer.from(await disk.readFile('/state/processes.json')).toString('utf8')
  assert.deepEqual(
    (JSON.parse(text) as { service: string }[]).map(({ service }) => service),
    ['shop#2'],
  )
})
