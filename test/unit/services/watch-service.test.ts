import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentLogger } from '../../../src/base/log.ts'
import { NewCheck } from '../../../services/watch/check.ts'
import { watchFolder } from '../../../services/watch/folder-changes.ts'
import service from '../../../services/watch/main.ts'
import { type Finding, probe } from '../../../services/watch/probe.ts'

const never = new AbortController().signal

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    if ('closeAllConnections' in server) (server.closeAllConnections as () => void)()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function web(t: TestContext, listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listening(t, createHttpServer(listener))}/`
}

function look(check: Partial<NewCheck>, signal = never): Promise<Finding> {
  return probe(NewCheck.parse({ name: 'x', kind: 'http', ...check }), signal)
}

test('a page is well by its status, or by the one that is expected', async (t) => {
  const target = await web(t, (request, response) => {
    response.statusCode = Number(request.url?.slice(1))
    response.end('hello')
  })
  for (const [status, isUp] of [
    [200, true],
    [204, true],
    [301, true],
    [404, false],
    [503, false],
  ] as const) {
    const finding = await look({ target: `${target}${status}` })
    assert.equal(finding.isUp, isUp, String(status))
    assert.match(finding.detail, new RegExp(`^${status} `))
  }
  assert.equal((await look({ target: `${target}404`, expect_status: 404 })).isUp, true)
  assert.equal((await look({ target: `${target}200`, expect_status: 404 })).isUp, false)
})

test('a page must hold the expected text, within its first 64 KiB', async (t) => {
  const target = await web(t, (request, response) => {
    response.write('x'.repeat(request.url === '/far' ? 70_000 : 60_000))
    response.end(' All systems operational ')
  })
  assert.equal((await look({ target, expect_text: 'systems operational' })).isUp, true)
  assert.equal((await look({ target: `${target}far`, expect_text: 'systems operational' })).isUp, false)
  assert.match((await look({ target, expect_text: 'nowhere' })).detail, /^200 OK, but the page does not hold/)
})

test('pages that hang, break off or never end are judged in time', async (t) => {
  const target = await web(t, (request, response) => {
    if (request.url === '/hang') return
    response.write('begin')
    if (request.url === '/break') response.destroy()
    if (request.url === '/endless') setInterval(() => response.write('more'), 5).unref()
  })
  const text = { expect_text: 'never there', timeout_ms: 200 }
  assert.deepEqual(await look({ target: `${target}hang`, timeout_ms: 200 }), {
    isUp: false,
    detail: 'no answer within 200 ms',
  })
  assert.equal((await look({ target: `${target}break`, ...text })).isUp, false)
  assert.equal((await look({ target: `${target}endless`, ...text })).detail, 'no answer within 200 ms')
})

test('a target nobody listens on is down, and a removed check ends its run', async (t) => {
  const server = createTcpServer()
  const port = await listening(t, server)
  assert.deepEqual(await look({ kind: 'tcp', target: `127.0.0.1:${port}` }), { isUp: true, detail: 'connected' })
  server.close()
  await once(server, 'close')
  for (const check of [
    { kind: 'tcp', target: `127.0.0.1:${port}` },
    { target: `http://127.0.0.1:${port}/` },
  ] as const) {
    const finding = await look(check)
    assert.equal(finding.isUp, false)
    assert.match(finding.detail, /ECONNREFUSED/)
    assert.equal((await look(check, AbortSignal.abort())).isUp, false)
  }
})

test('a folder is up while it is there, and a folder', async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'p2p-watch-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  const finding = await look({ kind: 'folder', target: path })
  assert.equal(finding.isUp, true)
  await writeFile(join(path, 'file'), '')
  assert.equal((await look({ kind: 'folder', target: join(path, 'file') })).detail, 'not a folder')
  assert.match((await look({ kind: 'folder', target: join(path, 'none') })).detail, /ENOENT/)
})

test('changes in a folder are told by the system, gathered', async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'p2p-watch-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  const { promise: both, resolve } = Promise.withResolvers<void>()
  const seen = new Set<string>()
  let calls = 0
  const take = (names: string[]): void => {
    calls++
    for (const name of names) seen.add(name)
    if (seen.size === 20) resolve()
  }
  const end = watchFolder(path, take, () => {})
  // Neither the watch nor its timer keeps the process alive, so something else must.
  const anchor = setTimeout(() => {}, 60_000)
  for (let index = 0; index < 20; index++) await writeFile(join(path, `f${index}`), 'x')
  await both
  assert.ok(calls < 20, 'a file written makes several events, and 20 of them still few calls')
  end()
  clearTimeout(anchor)
  assert.throws(
    () =>
      watchFolder(
        join(path, 'none'),
        () => {},
        () => {},
      ),
    { code: 'ENOENT' },
  )
})

test('the service as a person uses it: add, see it go down, see why, remove', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'p2p-watch-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'inbox')
  await mkdir(path)
  const { promise: wentDown, resolve: isDown } = Promise.withResolvers<void>()
  const { promise: wentUp, resolve: isUp } = Promise.withResolvers<void>()
  const runtime = {
    name: 'watch',
    logger: {
      ...silentLogger,
      info: (message: string) => {
        if (message === 'Check is up') isUp()
      },
      warning: () => isDown(),
    },
  } as unknown as Parameters<NonNullable<typeof service.initialize>>[0]
  const call = {} as never
  const { add_check, list_checks, status, history, remove_check } = service.methods
  await service.initialize?.(runtime)
  const anchor = setTimeout(() => {}, 60_000)
  try {
    const params = add_check.params?.['~standard'].validate({ name: 'inbox', kind: 'folder', target: path }) as {
      value: NewCheck
    }
    await add_check.handler(params.value, call)
    assert.equal((await status.handler({}, call)).state, 'pending')
    await wentUp
    assert.equal((await status.handler({}, call)).up, 1)
    await rm(path, { recursive: true })
    await wentDown
    const seen = await status.handler({}, call)
    assert.equal(seen.state, 'down')
    assert.match(seen.problems[0]?.detail ?? '', /ENOENT/)
    assert.equal((await history.handler({ name: 'inbox', limit: 1 }, call)).results[0]?.is_up, false)
    assert.equal((await list_checks.handler({}, call)).checks.length, 1)
    await remove_check.handler({ name: 'inbox' }, call)
    assert.equal((await list_checks.handler({}, call)).checks.length, 0)
  } finally {
    clearTimeout(anchor)
    await service.cleanup?.(runtime)
  }
  assert.throws(() => list_checks.handler({}, call), /not running/)
})
