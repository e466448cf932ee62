import { assert } from '../../base/assert.ts'
import type { NodeId } from '../../base/identity.ts'
import type { AssignmentReport } from '../model.ts'
import type { Deployment } from '../../base/deployment.ts'
import { nextRunMs } from './cron.ts'

/** One node's part of one run of a job. */
export interface JobSlot {
  nodeId: NodeId
  /** 1, 2, 3 … */
  attempt: number
  /** `waiting`: failed, and tried again after `waitMs`. */
  state: 'running' | 'waiting' | 'succeeded' | 'failed'
  waitMs: number
  /** Unix ms. */
  startedAtMs: number
  exit?: string
}

export interface JobRun {
  id: string
  /** Unix ms of the moment it was due. */
  atMs: number
  slots: JobSlot[]
}

/** Where a job stands: plain JSON. */
export interface JobPlan {
  generation: number
  /** Unix ms of the next run of a cron job. */
  nextRunMs?: number
  /** The run that goes on, or the last one. */
  run?: JobRun
  /** Attempts that ended, the newest first, at most {@link JOB_HISTORY_MAX}. */
  ended: JobAttempt[]
}

export interface JobAttempt {
  runId: string
  /** When it was begun. */
  atMs: number
  nodeId: NodeId
  state: 'succeeded' | 'failed'
  exit?: string
}

export const JOB_HISTORY_MAX = 50
/** A failed attempt is followed by the next after this, doubled each time. */
const RETRY_MS_MIN = 10_000
const RETRY_MS_MAX = 5 * 60_000
/** Timers count time that passes, and schedules mean that of the clock, which somebody may set: it is looked at this often. */
const LOOK_MS_MAX = 60_000

export interface JobInput {
  deployment: Deployment
  elapsedMs: number
  wallMs: number
  /** Nodes that were chosen for it. */
  targets: ReadonlySet<NodeId>
  /** What the node runs is lost. */
  isGone(nodeId: NodeId): boolean
  /** Of nodes that are there. */
  report(nodeId: NodeId): AssignmentReport | undefined
  /** Why nothing may be started now; undefined: it may. */
  heldBy: string | undefined
}

export interface JobStep {
  job: JobPlan
  /** Another step is due after this time. */
  nextMs: number | undefined
}

/** Where a job begins. What the generation before it was running is given up; its history stays. */
export function beginJob({ generation, job }: Deployment, wallMs: number, before: JobPlan | undefined): JobPlan {
  assert(job, 'only a job begins as one')
  const givenUp = (before?.run?.slots ?? [])
    .filter(({ state }) => state === 'running')
    .map((slot) => attemptOf(before?.run as JobRun, { ...slot, exit: 'a newer generation took its place' }, 'failed'))
  const ended = [...givenUp, ...(before?.ended ?? [])].slice(0, JOB_HISTORY_MAX)
  if (job.kind === 'once')
    return { generation, run: { id: runIdOf(generation, wallMs), atMs: wallMs, slots: [] }, ended }
  return { generation, ...due(job.schedule, job.timeZone, wallMs), ended }
}

/** Whether the job will run nothing more: then it needs no place. One on every node never ends, as nodes may join. */
export function isJobOver({ run }: JobPlan, { job, count }: Deployment): boolean {
  return job?.kind === 'once' && count !== 'every' && run !== undefined && run.slots.length >= count && hasEnded(run)
}

/** What the node is to run of the job now: the same id is never given twice for two attempts. */
export function jobRunOn({ run }: JobPlan, nodeId: NodeId): string | undefined {
  const slot = run?.slots.find((slot) => slot.nodeId === nodeId && slot.state === 'running')
  return run && slot && attemptIdOf(run, slot)
}

/**
 * One step of a job: takes over what the nodes say, begins what is due, and repeats what failed. A run that goes on is not doubled:
 * what becomes due meanwhile is left out. However many runs were missed, one makes up for them.
 */
export function stepJob(before: JobPlan, input: JobInput): JobStep {
  const job = structuredClone(before)
  if (job.run) for (const slot of job.run.slots) settle(job, job.run, slot, input)
  if (input.heldBy === undefined) {
    startDue(job, input)
    if (job.run) fillOnce(job.run, input)
    if (job.run) for (const slot of job.run.slots) retry(job.run, slot, input)
  }
  return { job, nextMs: nextStepMs(job, input) }
}

/** Takes over how an attempt ended. */
function settle(job: JobPlan, run: JobRun, slot: JobSlot, input: JobInput): void {
  if (slot.state === 'waiting') slot.waitMs = Math.max(0, slot.waitMs - input.elapsedMs)
  if (slot.state !== 'running') return
  const told = input.report(slot.nodeId)
  const own = told?.run?.id === attemptIdOf(run, slot) ? told.run : undefined
  if (input.isGone(slot.nodeId)) endAttempt(job, run, slot, 'failed', `${slot.nodeId} was lost`, input)
  else if (own && own.state !== 'running') endAttempt(job, run, slot, own.state, own.exit, input)
  else if (told?.failure !== undefined && told.generation === job.generation && !own) {
    endAttempt(job, run, slot, 'failed', told.failure, input)
  }
}

function endAttempt(
  job: JobPlan,
  run: JobRun,
  slot: JobSlot,
  state: 'succeeded' | 'failed',
  exit: string | undefined,
  { deployment }: JobInput,
): void {
  if (exit === undefined) delete slot.exit
  else slot.exit = exit
  job.ended = [attemptOf(run, slot, state), ...job.ended].slice(0, JOB_HISTORY_MAX)
  const retries = deployment.job?.retries ?? 0
  const isRetried = state === 'failed' && slot.attempt <= retries
  slot.state = isRetried ? 'waiting' : state
  if (isRetried) slot.waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(slot.attempt - 1, 10))
}

function startDue(job: JobPlan, { deployment, wallMs, targets }: JobInput): void {
  const rule = deployment.job
  if (rule?.kind !== 'cron' || job.nextRunMs === undefined || wallMs < job.nextRunMs) return
  if (!job.run || hasEnded(job.run)) {
    // Without a node it stays due.
    if (targets.size === 0) return
    const atMs = job.nextRunMs
    const slots = [...targets].sort().map((nodeId) => newSlot(nodeId, wallMs))
    job.run = { id: runIdOf(job.generation, atMs), atMs, slots }
  }
  delete job.nextRunMs
  Object.assign(job, due(rule.schedule, rule.timeZone, wallMs))
}

/** Gives a job that runs once its nodes, also those that join later. */
function fillOnce(run: JobRun, { deployment, targets, wallMs }: JobInput): void {
  if (deployment.job?.kind !== 'once') return
  const max = deployment.count === 'every' ? Number.POSITIVE_INFINITY : deployment.count
  const has = new Set(run.slots.map(({ nodeId }) => nodeId))
  for (const nodeId of [...targets].sort()) {
    if (run.slots.length >= max) return
    if (!has.has(nodeId)) run.slots.push(newSlot(nodeId, wallMs))
  }
}

function retry(run: JobRun, slot: JobSlot, { deployment, targets, wallMs }: JobInput): void {
  if (slot.state !== 'waiting' || slot.waitMs > 0) return
  if (!targets.has(slot.nodeId)) {
    // On every node means on this one; else any chosen node that has no part in this run takes it over.
    if (deployment.count === 'every') {
      slot.state = 'failed'
      return
    }
    const free = [...targets].sort().find((nodeId) => run.slots.every((other) => other.nodeId !== nodeId))
    if (free === undefined) return
    slot.nodeId = free
  }
  slot.attempt++
  slot.state = 'running'
  slot.startedAtMs = wallMs
  delete slot.exit
}

function newSlot(nodeId: NodeId, wallMs: number): JobSlot {
  return { nodeId, attempt: 1, state: 'running', waitMs: 0, startedAtMs: wallMs }
}

function hasEnded(run: JobRun): boolean {
  return run.slots.every(({ state }) => state === 'succeeded' || state === 'failed')
}

function attemptOf(run: JobRun, slot: JobSlot, state: 'succeeded' | 'failed'): JobAttempt {
  const { nodeId, startedAtMs, exit } = slot
  return { runId: attemptIdOf(run, slot), atMs: startedAtMs, nodeId, state, ...(exit !== undefined && { exit }) }
}

function runIdOf(generation: number, atMs: number): string {
  return `${generation}-${atMs}`
}

function attemptIdOf({ id }: JobRun, { attempt }: JobSlot): string {
  return `${id}-${attempt}`
}

function due(schedule: string, timeZone: string, wallMs: number): { nextRunMs?: number } {
  const nextMs = nextRunMs(schedule, timeZone, wallMs)
  return nextMs === undefined ? {} : { nextRunMs: nextMs }
}

function nextStepMs(job: JobPlan, { wallMs }: JobInput): number | undefined {
  const dueMs = (job.run?.slots ?? [])
    .filter(({ state, waitMs }) => state === 'waiting' && waitMs > 0)
    .map(({ waitMs }) => waitMs)
  if (job.nextRunMs !== undefined && job.nextRunMs > wallMs) dueMs.push(Math.min(job.nextRunMs - wallMs, LOOK_MS_MAX))
  return dueMs.length > 0 ? Math.min(...dueMs) : undefined
}
