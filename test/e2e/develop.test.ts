import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { freePort, P2P, p2p } from './support/node-process.ts'

interface DevProcess {
  pid: number
  /** Resolves when it has said this since the last time it was asked. */
  said(pattern: RegExp): Promise<string>
  stop(): Promise<number | null>
}

function startDev(t: TestContext, args: string[], env: Record<string, string>, cwd: string): DevProcess {
  const child: ChildProcess = spawn(process.execPath, [P2P, 'dev', ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  let seen = 0
  let wake: () => void = () => {}
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      text += chunk
      wake()
    })
  }
  const exited = once(child, 'exit').then(([code]) => {
    wake()
    return code as number | null
  })
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
  })
  return {
    pid: child.pid as number,
    async said(pattern) {
      for (;;) {
        const found = pattern.exec(text.slice(seen))
        if (found) {
          seen += found.index + found[0].length
          return found[0]
        }
        if (child.exitCode !== null) throw new Error(`It ended without saying ${pattern}:\n${text}`)
        await new Promise<void>((resolve) => (wake = resolve))
      }
    },
    async stop() {
      child.kill('SIGINT')
      return exited
    },
  }
}

/** Command lines of processes that name a path, as far as the system tells. */
function processesNaming(path: string): string[] {
  if (process.platform !== 'linux') return []
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const commands = pids.map((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    } catch {
      // It has ended meanwhile.
      return ''
    }
  })
  return commands.filter((command) => command.includes(path))
}

test('a service is made, tested, run, changed while it runs, and leaves nothing behind', {
  timeout: 120_000,
}, async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), 'p2p-develop-'))
  t.after(() => rmSync(cwd, { recursive: true, force: true, maxRetries: 5 }))
  const env = { XDG_CONFIG_HOME: join(cwd, 'xdg') }
  const run = (...args: string[]) => p2p(args, { cwd, env })
  const greet = async () => {
    const { stdout, stderr } = await run('call', 'shop/greet', '--param', 'name=Ada', '--profile', 'dev')
    return stdout === '' ? stderr : (JSON.parse(stdout) as { greeting: string }).greeting
  }

  for (const style of [['shop'], ['till', '--class']]) {
    const made = await run('init', ...style)
    assert.equal(made.code, 0, made.stderr)
    const tested = await run('test', style[0] as string)
    assert.equal(tested.code, 0, tested.stdout + tested.stderr)
    assert.match(tested.stdout, /pass 2/)
  }
  const main = join(cwd, 'shop/main.ts')
  const source = readFileSync(main, 'utf8')
  const failing = source.replace('Hello', 'Goodbye')
  writeFileSync(main, failing)
  assert.notEqual((await run('test', 'shop')).code, 0, 'a test that fails is told')
  writeFileSync(main, source)

  writeFileSync(main, source.replace('return {', 'return { {'))
  const dev = startDev(t, ['shop', '--port', String(await freePort())], env, cwd)
  await dev.said(/Not reloaded: .*main\.ts:\d+:\d+/)
  await dev.said(/https:\/\/127\.0\.0\.1:\d+\/dashboard#login=[\w-]{43}\n/)
  writeFileSync(main, source)
  await dev.said(/p2p call shop\/greet --param name=… --profile dev\n/)
  assert.equal(await greet(), 'Hello Ada')

  writeFileSync(main, source.replace('Hello', 'Bonjour'))
  await dev.said(/shop reloaded in \d+ ms/)
  assert.equal(await greet(), 'Bonjour Ada')

  writeFileSync(main, source.replace('return {', 'return { {'))
  await dev.said(/Not reloaded: .*main\.ts:\d+:\d+/)
  await dev.said(/> \d+ \| .*return \{ \{ greeting/)
  await dev.said(/runs on/)
  assert.equal(await greet(), 'Bonjour Ada')

  writeFileSync(
    main,
    source.replace('service.metrics', "if (name === 'Ada') throw new Error('a bug')\nservice.metrics"),
  )
  await dev.said(/shop reloaded/)
  assert.match(await greet(), /failed on node dev/)
  await dev.said(/Error: a bug/)
  await dev.said(/> \d+ \| .*throw new Error\('a bug'\)/)

  assert.equal(await dev.stop(), 0)
  assert.match(await greet(), /no profile "dev"/)
  assert.ok(!existsSync(join(cwd, 'xdg/p2p/ca-dev.pem')))
  assert.deepEqual(processesNaming(cwd), [])
})

test('a folder without a service is refused', async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), 'p2p-develop-'))
  t.after(() => rmSync(cwd, { recursive: true, force: true }))
  const { code, stderr } = await p2p(['dev'], { cwd })
  assert.equal(code, 2)
  assert.match(stderr, /p2p init makes one/)
  assert.ok(!existsSync(join(cwd, '.p2p')))
})
