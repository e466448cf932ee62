import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Component } from '../../../src/base/component.ts'
import { ComponentStack } from '../../../src/context/lifecycle.ts'

const never = new AbortController().signal

function recorder(failing: Partial<Record<string, 'start' | 'stop'>> = {}) {
  const seen: string[] = []
  const make = (name: string): Component => ({
    name,
    async start() {
      seen.push(`start ${name}`)
      if (failing[name] === 'start') throw new Error(`${name} did not start`)
    },
    async stop() {
      seen.push(`stop ${name}`)
      if (failing[name] === 'stop') throw new Error(`${name} did not stop`)
    },
  })
  return { seen, make }
}

async function startAll(stack: ComponentStack, make: (name: string) => Component): Promise<void> {
  for (const name of ['a', 'b', 'c']) await stack.start(make(name))
}

test('starts in order and stops in reverse, once', async () => {
  const { seen, make } = recorder()
  const stack = new ComponentStack(never)
  await startAll(stack, make)
  await Promise.all([stack.stop(), stack.stop()])
  assert.deepEqual(seen, ['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a'])
})

test('a failed start stops what was started, and its own error is what is thrown', async () => {
  const { seen, make } = recorder({ c: 'start', b: 'stop' })
  await assert.rejects(startAll(new ComponentStack(never), make), /c did not start/)
  assert.deepEqual(seen, ['start a', 'start b', 'start c', 'stop b', 'stop a'])
})

test('a failed stop does not keep the others from stopping', async () => {
  const { seen, make } = recorder({ a: 'stop', c: 'stop' })
  const stack = new ComponentStack(never)
  await startAll(stack, make)
  await assert.rejects(stack.stop(), (error: AggregateError) => error.errors.length === 2)
  assert.deepEqual(seen.slice(3), ['stop c', 'stop b', 'stop a'])
})

test('when asked to stop while starting, it stops what was started', async () => {
  const { seen, make } = recorder()
  const abort = new AbortController()
  const stack = new ComponentStack(abort.signal)
  await stack.start(make('a'))
  abort.abort(new Error('asked to stop'))
  await assert.rejects(stack.start(make('b')), /asked to stop/)
  assert.deepEqual(seen, ['start a', 'stop a'])
})
