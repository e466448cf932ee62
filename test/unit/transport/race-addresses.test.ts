import assert from 'node:assert/strict'
import { test } from 'node:test'
import { raceAddresses } from '../../../src/transport/race-addresses.ts'
import { ManualClock } from './manual-clock.ts'

interface Attempt {
  address: string
  signal: AbortSignal
  resolve(value: string): void
  reject(error: Error): void
}

function race(addresses: string[], signal = new AbortController().signal) {
  const clock = new ManualClock()
  const attempts: Attempt[] = []
  const discarded: string[] = []
  const connect = (address: string, ended: AbortSignal): Promise<string> => {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    attempts.push({ address, signal: ended, resolve, reject })
    return promise
  }
  const result = raceAddresses(clock, addresses, 250, connect, (late) => discarded.push(late), signal)
  result.catch(() => {})
  const tried = (): string[] => attempts.map(({ address }) => address)
  const attempt = (index: number): Attempt => attempts[index] as Attempt
  return { clock, attempt, discarded, result, tried }
}

/** Lets the reactions of settled promises run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

test('the second address is tried only after the head start of the first', async () => {
  const { clock, attempt, result, tried } = race(['a', 'b'])
  clock.advance(249)
  assert.deepEqual(tried(), ['a'])
  clock.advance(1)
  assert.deepEqual(tried(), ['a', 'b'])
  attempt(1).resolve('b connected')
  assert.equal(await result, 'b connected')
  assert.equal(attempt(0).signal.aborted, true)
  assert.equal(clock.pendingCount, 0)
})

test('a failure starts the next address at once', async () => {
  const { attempt, result, tried } = race(['a', 'b'])
  attempt(0).reject(new Error('refused'))
  await settle()
  assert.deepEqual(tried(), ['a', 'b'])
  attempt(1).resolve('b connected')
  assert.equal(await result, 'b connected')
})

test('the first address still wins when it answers during the second attempt', async () => {
  const { clock, attempt, result } = race(['a', 'b'])
  clock.advance(250)
  attempt(0).resolve('a connected')
  assert.equal(await result, 'a connected')
  assert.equal(attempt(1).signal.aborted, true)
})

test('what connects after the winner is discarded', async () => {
  const { clock, attempt, discarded, result } = race(['a', 'b'])
  clock.advance(250)
  attempt(1).resolve('b connected')
  await result
  attempt(0).resolve('a connected')
  await settle()
  assert.deepEqual(discarded, ['a connected'])
})

test('when every address has failed all failures are told, in the order of the addresses', async () => {
  const { clock, attempt, result } = race(['a', 'b'])
  clock.advance(250)
  attempt(1).reject(new Error('b failed'))
  attempt(0).reject(new Error('a failed'))
  await assert.rejects(result, (error: AggregateError) => {
    assert.deepEqual(
      error.errors.map(({ message }: Error) => message),
      ['a failed', 'b failed'],
    )
    return true
  })
  assert.equal(clock.pendingCount, 0)
})

test('an abort ends the race and every attempt in it', async () => {
  const controller = new AbortController()
  const { clock, attempt, result } = race(['a', 'b'], controller.signal)
  clock.advance(250)
  controller.abort(new Error('nobody waits'))
  await assert.rejects(result, /nobody waits/)
  assert.equal(attempt(0).signal.aborted && attempt(1).signal.aborted, true)
  assert.equal(clock.pendingCount, 0)
})

test('an aborted signal starts nothing', async () => {
  const { result, tried } = race(['a'], AbortSignal.abort(new Error('too late')))
  await assert.rejects(result, /too late/)
  assert.deepEqual(tried(), [])
})
