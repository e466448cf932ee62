import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LogLine } from '../../../../src/base/log-line.ts'
import type { TimelineEvent } from '../../../../src/base/timeline.ts'
import type { NodeWhyFacts, ServiceWhyFacts } from '../../../../src/telemetry/events/why/why-facts.ts'
import { whyNode } from '../../../../src/telemetry/events/why/why-node.ts'
import { whyService } from '../../../../src/telemetry/events/why/why-service.ts'

const NOW = Date.UTC(2026, 0, 2, 12)
const MINUTE = 60_000

function event(minutesAgo: number, title: string, more: Partial<TimelineEvent> = {}): TimelineEvent {
  const timeMs = NOW - minutesAgo * MINUTE
  return {
    id: 10_000 - Math.round(minutesAgo * 10),
    timeMs,
    kind: 'health',
    severity: 'error',
    title,
    service: 'hello',
    nodeId: 'w1',
    ...more,
  }
}

function line(minutesAgo: number, message: string, more: Partial<LogLine> = {}): LogLine {
  const timeMs = NOW - minutesAgo * MINUTE
  return {
    cursor: 1,
    nodeId: 'w1',
    seq: 1,
    timeMs,
    receivedMs: timeMs,
    clockOffsetMs: 0,
    level: 'ERROR',
    logger: 'hello',
    message,
    fieldsJson: '{}',
    traceId: '',
    ...more,
  }
}

function service(more: Partial<ServiceWhyFacts> = {}): ServiceWhyFacts {
  return {
    name: 'hello',
    nowMs: NOW,
    wanted: 2,
    running: 2,
    healthy: 2,
    versions: ['1.1.0'],
    nodes: [
      { nodeId: 'w1', status: 'alive' },
      { nodeId: 'w2', status: 'alive' },
    ],
    failing: [],
    events: [],
    attention: [],
    lines: [],
    deployment: { version: '1.1.0', isStopped: false, by: 'person:ada', problems: [], change: undefined },
    ...more,
  }
}

const DEPLOYED = event(3, 'ada deployed hello 1.1.0', { kind: 'deploy', severity: 'info', detail: '1.0.0 ran before.' })

describe('why a service', () => {
  test('is well, and was: says so, with no cause', () => {
    const answer = whyService(service())
    assert.equal(answer.state, 'well')
    assert.equal(answer.summary, 'hello: 2 of 2 run and are healthy. Nothing went wrong in the last 24 hours.')
    assert.equal(answer.cause, undefined)
    assert.equal(answer.remedy, undefined)
  })

  test('is well again: the last trouble is told, without a remedy', () => {
    const answer = whyService(
      service({
        events: [
          event(12, 'hello ended and is started again on w1', {
            severity: 'warning',
            detail: 'it ended with exit code 1: boom',
          }),
        ],
      }),
    )
    assert.equal(answer.state, 'well')
    assert.match(answer.summary, /It last had trouble 12 minutes ago\.$/)
    assert.equal(answer.cause?.what, 'exit')
    assert.equal(answer.cause?.text, 'hello ended and is started again on w1: it ended with exit code 1: boom.')
    assert.equal(answer.remedy, undefined)
  })

  test('ran out of memory after a deployment: both are told', () => {
    const answer = whyService(
      service({
        running: 0,
        healthy: 0,
        failing: [{ nodeId: 'w1', reason: 'it ran out of memory: limits.memoryMb in manifest.json is 64' }],
        events: [event(1, 'hello was given up on w1', { detail: 'it ran out of memory' }), DEPLOYED],
      }),
    )
    assert.equal(answer.state, 'down')
    assert.equal(
      answer.summary,
      'hello: 0 of 2 run and are healthy (on w1). It began 2 minutes after this: ada deployed hello 1.1.0.',
    )
    assert.deepEqual(answer.cause, {
      what: 'out-of-memory',
      text: 'On w1: it ran out of memory: limits.memoryMb in manifest.json is 64.',
      since: new Date(NOW - MINUTE).toISOString(),
    })
    assert.match(answer.remedy ?? '', /Raise limits\.memoryMb/)
    assert.deepEqual(
      answer.before.map(({ title }) => title),
      ['hello was given up on w1', 'ada deployed hello 1.1.0'],
    )
  })

  for (const [reason, what] of [
    ['its health check (http) failed: it answered 500', 'health-check'],
    ['it ended with exit code 3: Error: no such table', 'exit'],
    ['it was ended by SIGKILL', 'exit'],
    ['it uses 757.6 MiB; limits.memoryMb in manifest.json is 128', 'out-of-memory'],
    ['it has 303 processes; limits.processes in manifest.json is 40', 'limit'],
    ['it ended with exit code 1: ENOSPC: no space left on device', 'disk'],
    ['FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory', 'out-of-memory'],
    ['connect failed: certificate has expired', 'certificate'],
    ['something nobody thought of', 'exit'],
  ] as const) {
    test(`fails with "${reason}": ${what}`, () => {
      const answer = whyService(service({ healthy: 1, failing: [{ nodeId: 'w2', reason }] }))
      assert.equal(answer.state, 'degraded')
      assert.equal(answer.cause?.what, what)
      assert.ok(answer.remedy)
    })
  }

  test('its instance was given up without a word, the timeline has it', () => {
    const answer = whyService(
      service({
        running: 1,
        healthy: 1,
        failing: [{ nodeId: 'w1', reason: undefined }],
        events: [event(1, 'hello was given up on w1', { detail: 'its health check (ping) failed: no answer' })],
      }),
    )
    assert.equal(answer.cause?.what, 'health-check')
  })

  test('ends again and again between moments of health: degraded, with the reason, and the deployment it began with', () => {
    const end = (minutesAgo: number): TimelineEvent =>
      event(minutesAgo, 'hello ended and is started again on w1', {
        severity: 'warning',
        detail: 'it ended with exit code 3: no such table',
      })
    const flaps = [0.1, 0.5, 1, 1.5, 2, 2.5].flatMap((at) => [
      event(at, 'hello is ended by its node on w1'),
      end(at + 0.01),
    ])
    const done = event(2.9, 'hello 1.1.0 is deployed', { kind: 'deploy', severity: 'info' })
    const answer = whyService(service({ events: [...flaps, done, DEPLOYED] }))
    assert.equal(answer.state, 'degraded')
    assert.equal(
      answer.summary,
      'hello: 2 of 2 run and are healthy. It ended 6 times within 10 minutes. It began 29 seconds after this: ada deployed hello 1.1.0.',
    )
    assert.equal(
      answer.cause?.text,
      'hello ended and is started again on w1: it ended with exit code 3: no such table.',
    )
    assert.equal(answer.before.at(-1)?.title, 'ada deployed hello 1.1.0')
    assert.equal(answer.before.length, 8)
  })

  test('its node died', () => {
    const answer = whyService(
      service({
        running: 1,
        healthy: 1,
        nodes: [
          { nodeId: 'w1', status: 'dead' },
          { nodeId: 'w2', status: 'alive' },
        ],
        events: [
          event(2, 'w1 does not answer any more', { kind: 'member', service: undefined }),
          event(60, 'hello 1.1.0 fails on w2'),
        ],
      }),
    )
    assert.equal(answer.cause?.what, 'node')
    assert.match(answer.summary, /w1, where it ran, does not answer/)
    assert.doesNotMatch(answer.summary, /It began/)
  })

  test('a node died long ago and it failed since for another reason', () => {
    const answer = whyService(
      service({
        running: 1,
        healthy: 0,
        nodes: [{ nodeId: 'w1', status: 'dead' }],
        events: [
          event(1, 'hello 1.1.0 fails on w2', { detail: 'its health check (ping) failed' }),
          event(500, 'w1 does not answer any more', { kind: 'member', service: undefined }),
        ],
      }),
    )
    assert.equal(answer.cause?.what, 'health-check')
  })

  test('its deployment was taken back', () => {
    const answer = whyService(
      service({
        healthy: 1,
        events: [event(1, 'hello 1.2.0 was taken back to 1.1.0', { kind: 'deploy', detail: 'on w1 nothing answered' })],
      }),
    )
    assert.deepEqual(
      [answer.cause?.what, answer.remedy],
      ['deploy', 'Mend it and deploy again; p2p history hello shows what ran before.'],
    )
  })

  test('was stopped by a person', () => {
    const stop = event(30, 'ada stopped hello', { kind: 'deploy', severity: 'info' })
    const deployment = { version: '1.1.0', isStopped: true, by: 'person:bob', problems: [], change: undefined }
    const answer = whyService(service({ wanted: 0, running: 0, healthy: 0, deployment, events: [stop] }))
    assert.deepEqual(
      [answer.state, answer.cause?.what, answer.cause?.text],
      ['stopped', 'stopped', 'ada stopped hello.'],
    )
    assert.match(answer.remedy ?? '', /p2p start hello/)
    assert.equal(whyService(service({ deployment })).cause?.text, 'bob stopped hello.')
  })

  test('has no room', () => {
    const deployment = {
      version: '1.1.0',
      isStopped: false,
      by: 'person:ada',
      problems: ['no node has 8 GB free'],
      change: { waitsBecause: 'w2: no room on its disk' },
    }
    const answer = whyService(service({ running: 1, healthy: 1, deployment }))
    assert.deepEqual([answer.cause?.what, answer.cause?.text], ['placement', 'no node has 8 GB free.'])
    assert.match(answer.summary, /A change of it is on its way to version 1\.1\.0; w2: no room on its disk\./)
  })

  test('says nothing but in its log', () => {
    const answer = whyService(
      service({
        healthy: 1,
        lines: [line(1, 'a warning', { level: 'WARNING' }), line(2, 'cannot reach the database')],
      }),
    )
    assert.deepEqual([answer.cause?.what, answer.cause?.text], ['errors', 'w1 logged: cannot reach the database.'])
    assert.deepEqual(
      answer.logs.map(({ message }) => message),
      ['cannot reach the database', 'a warning'],
    )
  })

  test('is degraded and nobody knows why: no cause is made up', () => {
    const answer = whyService(service({ running: 1, healthy: 1 }))
    assert.deepEqual([answer.state, answer.cause, answer.remedy], ['degraded', undefined, undefined])
  })

  test('a deployment long before has nothing to do with it', () => {
    const answer = whyService(
      service({
        healthy: 0,
        running: 0,
        events: [
          event(1, 'hello was given up on w1', { detail: 'it ended with exit code 1' }),
          { ...DEPLOYED, timeMs: NOW - 100 * MINUTE },
        ],
      }),
    )
    assert.doesNotMatch(answer.summary, /It began/)
    assert.deepEqual(
      answer.before.map(({ title }) => title),
      ['hello was given up on w1'],
    )
  })

  test('a flood of events and lines is told in few', () => {
    const events = Array.from({ length: 100 }, (_, i) => event(i / 10, `hello fails ${i}`))
    const lines = Array.from({ length: 100 }, (_, i) => line(i, `line ${i}`))
    const answer = whyService(service({ healthy: 0, events, lines }))
    assert.deepEqual([answer.before.length, answer.logs.length], [8, 10])
  })
})

function node(more: Partial<NodeWhyFacts> = {}): NodeWhyFacts {
  return {
    name: 'w1',
    role: 'worker',
    nowMs: NOW,
    status: 'alive',
    sinceMs: NOW - 5 * MINUTE,
    startedAtMs: NOW - 3 * 3_600_000,
    failing: [],
    events: [],
    attention: [],
    lines: [],
    ...more,
  }
}

describe('why a node', () => {
  test('is well', () => {
    const answer = whyNode(node())
    assert.deepEqual(
      [answer.state, answer.summary],
      ['well', 'w1 is alive and has run for 3 hours. Nothing went wrong in the last 24 hours.'],
    )
    assert.match(whyNode(node({ startedAtMs: NOW - 1_000 })).summary, /1 second\. Nothing is wrong\.$/)
  })

  test('went silent without a word', () => {
    const answer = whyNode(node({ status: 'dead' }))
    assert.deepEqual([answer.state, answer.cause?.what], ['down', 'node'])
    assert.equal(answer.summary, 'No member of the cluster has reached w1 for 5 minutes.')
  })

  test('said what was wrong before it went silent', () => {
    const answer = whyNode(
      node({
        status: 'dead',
        lines: [
          line(5.2, 'The disk failed', { level: 'CRITICAL', logger: 'Vault', fieldsJson: '{"reason":"ENOSPC"}' }),
        ],
      }),
    )
    assert.deepEqual(
      [answer.cause?.what, answer.cause?.text],
      ['disk', 'Its last word, 12 seconds before: Vault: The disk failed.'],
    )
    assert.equal(answer.logs[0]?.message, 'The disk failed: ENOSPC')
  })

  test('an error long before its death is not blamed', () => {
    assert.equal(whyNode(node({ status: 'dead', lines: [line(30, 'old')] })).cause?.what, 'node')
  })

  test('its certificate was revoked right before', () => {
    const revoked = event(5.1, 'The certificate of w1 was revoked', { kind: 'certificate', severity: 'warning' })
    assert.equal(whyNode(node({ status: 'dead', events: [revoked] })).cause?.what, 'certificate')
  })

  test('its disk was full', () => {
    const attention = [
      {
        id: 'disk/w1',
        severity: 'error' as const,
        title: 'The disk of w1 is 99 % full',
        detail: '',
        since: new Date(NOW).toISOString(),
      },
    ]
    assert.equal(whyNode(node({ status: 'dead', attention })).cause?.what, 'disk')
  })

  test('was stopped in order, or is only suspected', () => {
    assert.deepEqual(
      [whyNode(node({ status: 'left' })).state, whyNode(node({ status: 'left' })).cause?.what],
      ['stopped', 'stopped'],
    )
    assert.deepEqual(
      [whyNode(node({ status: 'suspect' })).state, whyNode(node({ status: 'suspect' })).cause?.what],
      ['degraded', 'node'],
    )
  })

  test('is alive and a service of it fails: names the service to ask about', () => {
    const answer = whyNode(node({ failing: [{ service: 'hello', reason: 'it ran out of memory' }] }))
    assert.deepEqual(
      [answer.state, answer.cause?.what, answer.remedy],
      ['degraded', 'out-of-memory', 'Ask about the service: p2p why hello'],
    )
  })

  test('is alive and its clock is wrong', () => {
    const attention = [
      {
        id: 'clock/w1',
        severity: 'error' as const,
        title: 'The clock of w1 is 90 s behind',
        detail: 'Compared.',
        remedy: 'NTP.',
        since: new Date(NOW).toISOString(),
      },
    ]
    const answer = whyNode(node({ attention }))
    assert.deepEqual([answer.state, answer.remedy], ['degraded', 'NTP.'])
    assert.match(answer.summary, /The clock of w1 is 90 s behind\.$/)
  })

  test('went silent right after its own program was changed: that is told', () => {
    const own = { kind: 'deploy', severity: 'info', service: undefined } as const
    const changed = event(6, 'w1 now runs P2P Core 3.1.0', own)
    const answer = whyNode(node({ status: 'dead', events: [changed] }))
    assert.match(answer.summary, /That began 60 seconds after this: w1 now runs P2P Core 3\.1\.0\.$/)
    assert.deepEqual(
      answer.before.map(({ title }) => title),
      [changed.title],
    )
    const deployed = event(6, 'ada deployed hello 2', { kind: 'deploy', severity: 'info' })
    const earlier = event(30, 'w1 now runs P2P Core 3.1.0', own)
    assert.doesNotMatch(whyNode(node({ status: 'dead', events: [deployed, earlier] })).summary, /That began/)
  })

  test('went back to the program before: it is well, and why it went back is told', () => {
    const title = 'w1 went back from P2P Core 3.1.0 to the version before'
    const returned = event(20, title, { kind: 'deploy', detail: 'it was not ready', service: undefined })
    const answer = whyNode(node({ events: [returned] }))
    assert.deepEqual(
      [answer.state, answer.cause?.what, answer.cause?.text],
      ['well', 'deploy', `${title}: it was not ready.`],
    )
  })

  test('was dead lately and is back', () => {
    const answer = whyNode(
      node({ events: [event(20, 'w1 does not answer any more', { kind: 'member', service: undefined })] }),
    )
    assert.equal(answer.state, 'well')
    assert.match(answer.summary, /It last had trouble 20 minutes ago/)
    assert.equal(answer.cause?.what, 'node')
  })
})
