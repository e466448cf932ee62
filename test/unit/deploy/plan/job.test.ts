import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AssignmentReport } from '../../../../src/deploy/model.ts'
import type { Deployment } from '../../../../src/base/deployment.ts'
import { nextRunMs, scheduleProblem } from '../../../../src/deploy/plan/index.ts'
import {
  beginJob,
  isJobOver,
  JOB_HISTORY_MAX,
  type JobPlan,
  jobRunOn,
  stepJob,
} from '../../../../src/deploy/plan/job.ts'
import { Cluster, deployment, nodes } from './fixture.ts'

const at = (text: string): number => Date.parse(text)
const iso = (ms: number | undefined): string => (ms === undefined ? 'never' : new Date(ms).toISOString())

test('a schedule is computed from the moment given', () => {
  assert.equal(iso(nextRunMs('*/15 * * * *', 'UTC', at('2026-01-01T00:07:00Z'))), '2026-01-01T00:15:00.000Z')
  assert.equal(iso(nextRunMs('*/15 * * * *', 'UTC', at('2026-01-01T00:15:00Z'))), '2026-01-01T00:30:00.000Z')
  assert.equal(iso(nextRunMs('30 0 12 * * MON-FRI', 'UTC', at('2026-01-02T12:00:31Z'))), '2026-01-05T12:00:30.000Z')
  assert.equal(iso(nextRunMs('0 9 * * *', 'Asia/Tokyo', at('2026-01-01T00:00:00Z'))), '2026-01-02T00:00:00.000Z')
})

test('a time that the change to summer time leaves out is due when the clocks have gone forward', () => {
  assert.equal(iso(nextRunMs('30 2 * * *', 'Europe/Berlin', at('2026-03-28T12:00:00Z'))), '2026-03-29T01:00:00.000Z')
  assert.equal(iso(nextRunMs('30 2 * * *', 'Europe/Berlin', at('2026-03-29T01:00:00Z'))), '2026-03-30T00:30:00.000Z')
})

test('a time that comes twice when summer time ends is due once', () => {
  assert.equal(iso(nextRunMs('30 2 * * *', 'Europe/Berlin', at('2026-10-24T12:00:00Z'))), '2026-10-25T00:30:00.000Z')
  assert.equal(iso(nextRunMs('30 2 * * *', 'Europe/Berlin', at('2026-10-25T00:30:00Z'))), '2026-10-26T01:30:00.000Z')
})

test('what cannot be a schedule is said', () => {
  assert.equal(scheduleProblem('0 4 * * *', 'Europe/Berlin'), undefined)
  assert.match(scheduleProblem('99 * * * *', 'UTC') ?? '', /minute: 99/)
  assert.match(scheduleProblem('* * *', 'UTC') ?? '', /five/)
  assert.match(scheduleProblem('* * * * *', 'Mars/Olympus') ?? '', /Mars\/Olympus/)
  assert.match(scheduleProblem('0 0 30 2 *', 'UTC') ?? '', /never due/)
})

const CRON = { kind: 'cron', schedule: '0 * * * *', timeZone: 'UTC', retries: 0 } as const

/** One job, and nodes whose answers the test gives. */
class Jobs {
  wallMs = at('2026-01-01T00:30:00Z')
  deployment: Deployment
  job: JobPlan
  targets = new Set(['n1'])
  gone = new Set<string>()
  heldBy: string | undefined
  readonly runs = new Map<string, NonNullable<AssignmentReport['run']>>()
  nextMs: number | undefined

  constructor(fields: Partial<Deployment>) {
    this.deployment = deployment({ job: CRON, ...fields })
    this.job = beginJob(this.deployment, this.wallMs, undefined)
  }

  step(elapsedMs = 0): this {
    this.wallMs += elapsedMs
    const { job, nextMs } = stepJob(JSON.parse(JSON.stringify(this.job)) as JobPlan, {
      deployment: this.deployment,
      elapsedMs,
      wallMs: this.wallMs,
      targets: this.targets,
      isGone: (nodeId) => this.gone.has(nodeId),
      report: (nodeId) => {
        const run = this.runs.get(nodeId)
        return { service: 'shop', generation: 1, hasArtifact: true, instances: [], ...(run && { run }) }
      },
      heldBy: this.heldBy,
    })
    this.job = job
    this.nextMs = nextMs
    return this
  }

  /** The node says how its run ended. */
  end(nodeId: string, state: 'succeeded' | 'failed', exit?: string): this {
    const id = jobRunOn(this.job, nodeId)
    assert.ok(id, `${nodeId} runs nothing`)
    this.runs.set(nodeId, { id, state, ...(exit !== undefined && { exit }) })
    return this.step()
  }

  on(nodeId: string): string | undefined {
    return jobRunOn(this.job, nodeId)
  }
}

test('a cron job runs when it is due, and again at the next time', () => {
  const jobs = new Jobs({}).step()
  assert.equal(jobs.on('n1'), undefined)
  jobs.step(30 * 60_000)
  const first = jobs.on('n1')
  assert.equal(first, `1-${at('2026-01-01T01:00:00Z')}-1`)
  assert.equal(iso(jobs.job.nextRunMs), '2026-01-01T02:00:00.000Z')
  jobs.end('n1', 'succeeded', 'exit code 0')
  assert.equal(jobs.on('n1'), undefined)
  assert.deepEqual(jobs.job.ended, [
    { runId: first, atMs: at('2026-01-01T01:00:00Z'), nodeId: 'n1', state: 'succeeded', exit: 'exit code 0' },
  ])
  jobs.step(60 * 60_000)
  assert.notEqual(jobs.on('n1'), first)
})

test('a run that goes on is not doubled: what becomes due meanwhile is left out', () => {
  const jobs = new Jobs({}).step(30 * 60_000)
  const first = jobs.on('n1')
  jobs.step(60 * 60_000).step(60 * 60_000)
  assert.equal(jobs.on('n1'), first)
  jobs.end('n1', 'succeeded')
  assert.equal(jobs.on('n1'), undefined)
  assert.equal(iso(jobs.job.nextRunMs), '2026-01-01T04:00:00.000Z')
})

test('however many runs were missed while no coordinator ran, one makes up for them', () => {
  const jobs = new Jobs({}).step()
  jobs.wallMs += 5 * 3_600_000
  jobs.step()
  assert.ok(jobs.on('n1'))
  jobs.end('n1', 'succeeded')
  jobs.step(1_000)
  assert.equal(jobs.on('n1'), undefined)
  assert.equal(jobs.job.ended.length, 1)
  assert.equal(iso(jobs.job.nextRunMs), '2026-01-01T06:00:00.000Z')
})

test('a clock that is set forward makes nothing late by more than a minute: timers do not know of it', () => {
  const jobs = new Jobs({}).step()
  assert.equal(jobs.nextMs, 60_000)
  jobs.step(29 * 60_000 + 30_000)
  assert.equal(jobs.nextMs, 30_000)
  jobs.wallMs += 3_600_000
  jobs.step()
  assert.ok(jobs.on('n1'))
})

test('a clock that is set back runs nothing twice', () => {
  const jobs = new Jobs({}).step(30 * 60_000)
  jobs.end('n1', 'succeeded')
  jobs.wallMs -= 2 * 3_600_000
  jobs.step().step(3_600_000)
  assert.equal(jobs.on('n1'), undefined)
})

test('without a node a run stays due', () => {
  const jobs = new Jobs({})
  jobs.targets.clear()
  jobs.step(90 * 60_000)
  assert.equal(jobs.job.run, undefined)
  jobs.targets.add('n2')
  jobs.step()
  assert.ok(jobs.on('n2'))
})

test('what failed is repeated after a pause that doubles, as often as was allowed', () => {
  const jobs = new Jobs({ job: { kind: 'once', retries: 2 } }).step()
  const first = jobs.on('n1')
  jobs.end('n1', 'failed', 'exit code 3')
  assert.deepEqual([jobs.on('n1'), jobs.nextMs], [undefined, 10_000])
  jobs.step(9_999)
  assert.equal(jobs.on('n1'), undefined)
  jobs.step(1)
  assert.ok(jobs.on('n1') && jobs.on('n1') !== first)
  jobs.end('n1', 'failed')
  assert.equal(jobs.nextMs, 20_000)
  jobs.step(20_000).end('n1', 'failed', 'exit code 3')
  assert.equal(jobs.job.run?.slots[0]?.state, 'failed')
  assert.ok(isJobOver(jobs.job, jobs.deployment))
  assert.deepEqual(
    jobs.job.ended.map(({ exit }) => exit),
    ['exit code 3', undefined, 'exit code 3'],
  )
  assert.equal(new Set(jobs.job.ended.map(({ runId }) => runId)).size, 3)
})

test('what an earlier run said is not taken for the answer of this one', () => {
  const jobs = new Jobs({ job: { kind: 'once', retries: 1 } }).step()
  jobs.end('n1', 'failed').step(10_000).step(1_000)
  assert.equal(jobs.job.run?.slots[0]?.state, 'running')
})

test('a job that runs once does so on as many nodes as asked, and on every node also on those that join', () => {
  const two = new Jobs({ count: 2, job: { kind: 'once', retries: 0 } })
  two.targets = new Set(['n1', 'n2'])
  two.step().end('n1', 'succeeded').end('n2', 'succeeded')
  assert.ok(isJobOver(two.job, two.deployment))
  two.targets.add('n3')
  two.step()
  assert.equal(two.on('n3'), undefined)

  const every = new Jobs({ count: 'every', job: { kind: 'once', retries: 0 } }).step().end('n1', 'succeeded')
  assert.ok(!isJobOver(every.job, every.deployment))
  every.targets.add('n2')
  every.step()
  assert.ok(every.on('n2') && !every.on('n1'))
})

test('a run on a node that is lost has failed, and is repeated elsewhere if it may be', () => {
  for (const retries of [0, 1]) {
    const jobs = new Jobs({ job: { kind: 'once', retries } }).step()
    jobs.gone.add('n1')
    jobs.targets = new Set(['n2'])
    jobs.step()
    assert.equal(jobs.job.ended[0]?.exit, 'n1 was lost')
    jobs.step(10_000)
    assert.equal(jobs.on('n2') !== undefined, retries === 1)
    assert.equal(jobs.on('n1'), undefined)
  }
})

test('a run is let go on while its node is only away or drained', () => {
  const jobs = new Jobs({ job: { kind: 'once', retries: 0 } }).step()
  const id = jobs.on('n1')
  jobs.targets = new Set(['n2'])
  jobs.step(5_000)
  assert.deepEqual([jobs.on('n1'), jobs.on('n2')], [id, undefined])
})

test('nothing is begun while something it depends on is not there', () => {
  const jobs = new Jobs({ job: { kind: 'once', retries: 0 } })
  jobs.heldBy = 'waits for db, which does not run'
  assert.equal(jobs.step(1_000).on('n1'), undefined)
  jobs.heldBy = undefined
  assert.ok(jobs.step().on('n1'))
})

test('a newer generation gives up what the one before it was running, and keeps the history within bounds', () => {
  const jobs = new Jobs({}).step(30 * 60_000)
  const next = deployment({ generation: 2, job: CRON })
  const begun = beginJob(next, jobs.wallMs, jobs.job)
  assert.equal(begun.ended[0]?.exit, 'a newer generation took its place')
  assert.equal(begun.run, undefined)
  for (let i = 0; i < JOB_HISTORY_MAX + 5; i++) jobs.end('n1', 'succeeded').step(3_600_000)
  assert.equal(jobs.job.ended.length, JOB_HISTORY_MAX)
})

test('a job has assignments, of which only those that are to run carry a run', () => {
  const cluster = new Cluster(nodes(2), deployment({ count: 2, job: CRON }))
  assert.deepEqual(
    cluster.plan.nodes.map(({ nodeId, runId }) => [nodeId, runId]),
    [
      ['n1', undefined],
      ['n2', undefined],
    ],
  )
  assert.equal(cluster.plan.rollout.state, 'succeeded')
  cluster.pass(3_600_000)
  assert.ok(cluster.plan.nodes.every(({ runId }) => runId?.startsWith('1-')))
  const once = new Cluster(nodes(1), deployment({ job: { kind: 'once', retries: 0 } }))
  assert.ok(once.plan.nodes[0]?.runId)
})
