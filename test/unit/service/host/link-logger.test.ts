import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { eventScope } from '../../../../src/service/events/event-scope.ts'
import type { HostReport } from '../../../../src/service/host/host-message.ts'
import { createLinkLogger } from '../../../../src/service/host/link-logger.ts'
import { parseReport } from '../../../../src/service/host/parse-report.ts'
import { callScope, type Invocation } from '../../../../src/service/calls/invocation.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'

test('a line carries the trace of the call it is written in, also after an await, and none outside', async () => {
  const reports: HostReport[] = []
  const log = createLinkLogger((report) => reports.push(report))
  const call = { traceId: TRACE, hasEnded: false } as Invocation
  log.info('before')
  await callScope.run(call, async () => {
    log.info('within')
    await setImmediate()
    log.warning('later', { n: 1 })
  })
  log.info('after')
  assert.deepEqual(
    reports.map((report) => (report.type === 'log' ? [report.message, report.traceId] : [])),
    [
      ['before', undefined],
      ['within', TRACE],
      ['later', TRACE],
      ['after', undefined],
    ],
  )
})

test('a line carries the trace of the event it is written for', () => {
  const reports: HostReport[] = []
  const log = createLinkLogger((report) => reports.push(report))
  eventScope.run({ traceId: TRACE, hops: 1 }, () => log.info('heard'))
  assert.deepEqual(reports, [{ type: 'log', level: 'INFO', message: 'heard', traceId: TRACE }])
})

test('a trace that is none makes a report unusable: services write what they like', () => {
  const report = { type: 'log', level: 'INFO', message: 'x' }
  assert.ok(parseReport({ ...report, traceId: TRACE }))
  assert.equal(parseReport({ ...report, traceId: 'x\n' }), undefined)
})
