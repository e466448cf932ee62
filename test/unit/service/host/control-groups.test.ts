import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ControlGroups } from '../../../../src/service/host/control-groups.ts'

/** A hierarchy as systemd delegates it, of plain files. */
function hierarchy(t: { after(fn: () => void): void }, changes: { controllers?: string; own?: string } = {}) {
  const root = mkdtempSync(join(tmpdir(), 'p2p-cgroup-'))
  t.after(() => rmSync(root, { recursive: true }))
  const group = join(root, 'system.slice/p2p.service')
  mkdirSync(group, { recursive: true })
  writeFileSync(join(group, 'cgroup.controllers'), `${changes.controllers ?? 'cpu io memory pids'}\n`)
  writeFileSync(join(group, 'cgroup.subtree_control'), '')
  writeFileSync(join(group, 'cgroup.procs'), '4711\n')
  writeFileSync(join(root, 'own'), changes.own ?? '1:name=systemd:/x\n0::/system.slice/p2p.service\n')
  return { group, places: { hierarchy: root, own: join(root, 'own') } }
}

test('the node moves into a group of its own, and each instance gets one with its limits', async (t) => {
  const { group, places } = hierarchy(t)
  const groups = await ControlGroups.open(1_000, places)
  assert.equal(readFileSync(join(group, 'node/cgroup.procs'), 'utf8'), '4711')
  assert.equal(readFileSync(join(group, 'cgroup.subtree_control'), 'utf8'), '+cpu +memory +pids')
  const made = await groups?.add('shop#2', 99, { memoryMb: 64, cpus: 0.5, processes: 7 })
  const own = join(group, 'service-shop-2-99')
  const written = ['memory.max', 'cpu.max', 'pids.max', 'cgroup.procs'].map((name) =>
    readFileSync(join(own, name), 'utf8'),
  )
  assert.deepEqual(written, ['67108864', '50000 100000', '7', '99'])
  await made?.remove()
  assert.equal(readFileSync(join(own, 'cgroup.kill'), 'utf8'), '1')
})

test('what was not given to this node is left alone', async (t) => {
  const { group, places } = hierarchy(t)
  assert.equal(await ControlGroups.open(0, places), undefined)
  assert.equal(await ControlGroups.open(undefined, places), undefined)
  assert.equal(existsSync(join(group, 'node')), false)
  const without = hierarchy(t, { controllers: 'pids' })
  assert.equal(await ControlGroups.open(1_000, without.places), undefined)
  const old = hierarchy(t, { own: '4:memory:/x\n' })
  assert.equal(await ControlGroups.open(1_000, old.places), undefined)
  assert.equal(await ControlGroups.open(1_000, { hierarchy: '/nowhere', own: '/nowhere' }), undefined)
})
