import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { test } from 'node:test'

const SOURCE = JSON.stringify(resolve(import.meta.dirname, '../../../src/cli/system-host.ts'))

/** Runs until it is asked to stop, says why, and ends once nothing holds it any more. */
const PROGRAM = `
  const { systemHost } = await import(${SOURCE})
  const host = systemHost()
  const { signal, dispose } = host.interruption()
  signal.addEventListener('abort', () => {
    host.sendToParent({ type: 'stopping', reason: signal.reason.message })
    console.log(signal.reason.message)
    if (!process.connected) dispose()
  })
  process.on('message', () => dispose())
  host.sendToParent({ type: 'ready' })
`

async function start(): Promise<{ child: ChildProcess; output: () => string; ended: Promise<unknown[]> }> {
  const child = spawn(process.execPath, ['--conditions=source', '--input-type=module', '-e', PROGRAM], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  let said = ''
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  // Not 'close': it never comes once this side has disconnected.
  const [exited, drained] = [once(child, 'exit'), once(child.stdout as NodeJS.EventEmitter, 'end')]
  const ended = Promise.all([exited, drained]).then(([exit]) => exit)
  assert.deepEqual((await once(child, 'message'))[0], { type: 'ready' })
  return { child, output: () => said, ended }
}

test('a signal that comes twice at once asks to stop once, and then nothing keeps the process', {
  skip: process.platform === 'win32',
}, async () => {
  const { child, output, ended } = await start()
  child.kill('SIGTERM')
  child.kill('SIGINT')
  const [event] = (await once(child, 'message')) as [{ type: string; reason: string }]
  assert.match(event.reason, /^received SIG(TERM|INT)$/)
  child.send('end')
  assert.deepEqual(await ended, [0, null])
  assert.equal(output(), `${event.reason}\n`)
})

test('a process whose parent is gone stops', async () => {
  const { child, output, ended } = await start()
  child.disconnect()
  assert.deepEqual(await ended, [0, null])
  assert.equal(output(), 'the process that started it is gone\n')
})
