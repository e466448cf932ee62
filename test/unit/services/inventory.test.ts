import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { build } from 'esbuild'
import { Disks, disks, parseMounts } from '../../../services/inventory/disks.ts'
import { Network, network, parseGateways } from '../../../services/inventory/network.ts'
import { parseStat, Processes, processes } from '../../../services/inventory/processes.ts'
import { prettyName, Summary, summary } from '../../../services/inventory/summary.ts'
import type { Run } from '../../../services/inventory/main.ts'

const isLinux = process.platform === 'linux'
const never = new AbortController().signal

/** The class as the build makes it: Node does not run decorators itself. */
async function loadRun(): Promise<typeof Run> {
  const { outputFiles } = await build({
    entryPoints: [resolve(import.meta.dirname, '../../../services/inventory/main.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    conditions: ['source'],
    tsconfigRaw: '{}',
  })
  const text = Buffer.from(outputFiles[0]?.contents ?? []).toString('base64')
  const { Run: loaded } = (await import(`data:text/javascript;base64,${text}`)) as { Run: typeof Run }
  return loaded
}

test('the service answers without a node, each answer as its schema says', async () => {
  const Inventory = await loadRun()
  const service = new Inventory('inventory')
  assert.equal(Inventory.SERVICE_NAME, 'inventory')
  assert.equal(service.info.version, '1.0.0')
  Summary.strict().parse(await service.summary())
  Disks.strict().parse(await service.disks())
  Network.strict().parse(await service.network())
})

test('the summary is of this machine', async () => {
  const facts = await summary()
  assert.equal(facts.os.platform, process.platform)
  assert.equal(facts.node_version, process.version)
  assert.ok(facts.memory.available_bytes <= facts.memory.total_bytes)
  assert.ok(Date.parse(facts.booted_at) <= Date.now())
  assert.ok(facts.cpu.cores >= 1 && facts.cpu.model !== '')
})

test('an os-release file gives the name that people know', () => {
  assert.equal(
    prettyName('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'),
    'Debian GNU/Linux 12 (bookworm)',
  )
  assert.equal(prettyName("PRETTY_NAME='Void'"), 'Void')
  assert.equal(prettyName('PRETTY_NAME=Alpine\n'), 'Alpine')
  assert.equal(prettyName('NAME=x'), undefined)
})

test('disks are measured, pseudo file systems left out, bind mounts counted once', () => {
  const mounts = parseMounts(
    [
      'proc /proc proc rw 0 0',
      'tmpfs /run tmpfs rw 0 0',
      '/dev/sda1 /srv/very/long/bind ext4 rw 0 0',
      '/dev/sda1 / ext4 rw 0 0',
      '/dev/sdb1 /mnt/with\\040blank xfs rw 0 0',
      'nas:/export /nas nfs4 rw 0 0',
      'overlay /a overlay rw 0 0',
      'overlay /b overlay rw 0 0',
      'half a line',
      '',
    ].join('\n'),
  )
  assert.deepEqual(
    mounts.map(({ mount, device, type }) => `${device} ${mount} ${type}`),
    [
      '/dev/sda1 / ext4',
      '/dev/sdb1 /mnt/with blank xfs',
      'nas:/export /nas nfs4',
      'overlay /a overlay',
      'overlay /b overlay',
    ],
  )
})

test('every disk of this machine has plausible figures', async () => {
  const { disks: found } = await disks()
  assert.ok(found.length > 0)
  for (const disk of found) {
    assert.ok(disk.free_bytes <= disk.total_bytes && disk.total_bytes > 0, disk.mount)
    assert.ok(disk.used_percent >= 0 && disk.used_percent <= 100, disk.mount)
  }
})

test('the loopback interface is there, with its addresses', async () => {
  const { interfaces } = await network()
  const loopback = interfaces.find(({ addresses }) => addresses.includes('127.0.0.1/8'))
  assert.equal(loopback?.is_internal, true)
  if (isLinux) assert.ok((loopback?.received_bytes ?? -1) >= 0)
})

test('default gateways are read from the routing table, and nothing else is', () => {
  const table = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0',
    'eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0',
    'odd\t00000000\tnonsense\t0003\t0\t0\t0\t00000000\t0\t0\t0',
  ]
  assert.deepEqual(parseGateways(table.join('\n')), [{ interface: 'eth0', address: '192.168.1.1' }])
  assert.deepEqual(parseGateways(''), [])
})

test('a process that burns its processor leads the list by CPU, and all figures have their schema', {
  skip: !isLinux,
}, async () => {
  const stop = new AbortController()
  const burning = (async () => {
    // Turns of the event loop in between, or the measuring itself would have to wait.
    while (!stop.signal.aborted) {
      for (let count = 0; count < 1e6; count++) Math.sqrt(count)
      await new Promise((done) => setImmediate(done))
    }
  })()
  try {
    const list = Processes.strict().parse(await processes(100, never))
    const own = list.by_cpu.find(({ pid }) => pid === process.pid)
    assert.ok((own?.cpu_percent ?? 0) > 1, JSON.stringify(own))
    assert.ok((own?.memory_bytes ?? 0) > 10_000_000)
    assert.equal(list.by_memory.length, Math.min(100, list.count))
    for (const [index, { memory_bytes }] of list.by_memory.entries()) {
      assert.ok(memory_bytes <= (list.by_memory[index - 1]?.memory_bytes ?? Number.POSITIVE_INFINITY))
    }
    assert.equal((await processes(1, never)).by_cpu.length, 1)
  } finally {
    stop.abort()
    await burning
  }
})

test('where processes cannot be listed the error says so, and a caller that left is not measured for', {
  skip: !isLinux,
}, async (t) => {
  await assert.rejects(processes(1, AbortSignal.abort(new RangeError('left'))), RangeError)
  const platform = Object.getOwnPropertyDescriptor(process, 'platform') as PropertyDescriptor
  t.after(() => Object.defineProperty(process, 'platform', platform))
  Object.defineProperty(process, 'platform', { ...platform, value: 'darwin' })
  await assert.rejects(processes(1, never), { reason: 'NOT_SUPPORTED' })
})

test('a process may be called anything', () => {
  const rest = Array.from({ length: 40 }, (_, index) => String(index + 4)).join(' ')
  const expected = { pid: 42, startTicks: 22, cpuTicks: 14 + 15 }
  assert.deepEqual(parseStat(`42 (node) S ${rest}\n`), { ...expected, name: 'node' })
  assert.deepEqual(parseStat(`42 (a) R (b c) Z ${rest}\n`), { ...expected, name: 'a) R (b c' })
  assert.equal(parseStat(''), undefined, 'it has ended')
})
