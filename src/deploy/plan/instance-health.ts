import type { AssignmentReport } from '../model.ts'

/** What a node is to run of a service, as far as its health is asked for. */
export interface Wanted {
  generation: number
  processGeneration: number
  instances: number
}

export type Health =
  | { kind: 'good' }
  | { kind: 'fetching'; reason?: string }
  | { kind: 'starting'; reason?: string }
  /** `isFinal`: waiting longer would not help. */
  | { kind: 'bad'; reason: string; isFinal: boolean }

/** Instances that run the given processes and are healthy. */
export function healthyCount(report: AssignmentReport | undefined, processGeneration: number | undefined): number {
  if (!report) return 0
  return report.instances.filter(
    ({ generation, state, health }) =>
      (processGeneration === undefined || generation === processGeneration) &&
      state === 'running' &&
      health === 'healthy',
  ).length
}

/** Restarts of the instances that run the given processes. */
export function restartCount(report: AssignmentReport | undefined, processGeneration: number): number {
  const own = report?.instances.filter(({ generation }) => generation === processGeneration) ?? []
  return own.reduce((sum, { restarts }) => sum + restarts, 0)
}

/**
 * How a node's report stands to what the node is to run.
 * @param planFailure why it did not take its newest plan
 * @param restartsMax more restarts than these are a failure; undefined: restarts are no matter
 */
export function healthOf(
  report: AssignmentReport | undefined,
  wanted: Wanted,
  planFailure: string | undefined,
  restartsMax: number | undefined,
): Health {
  // It has not taken its plan yet: that is no fault of the version.
  if (!report || report.generation !== wanted.generation) {
    return {
      kind: 'fetching',
      ...(planFailure !== undefined && { reason: `it did not take its plan: ${planFailure}` }),
    }
  }
  // A person's will on one node says nothing of the version.
  if (report.isStoppedHere) return { kind: 'good' }
  // Whatever keeps it from being fetched may pass; once it is there, what fails is the version.
  if (!report.hasArtifact) return { kind: 'fetching', ...(report.failure !== undefined && { reason: report.failure }) }
  if (report.failure !== undefined) return { kind: 'bad', reason: report.failure, isFinal: true }
  if (report.waitsFor !== undefined) return { kind: 'starting', reason: `waits for ${report.waitsFor}` }
  const own = report.instances.filter(({ generation }) => generation === wanted.processGeneration)
  const failed = own.find(({ state }) => state === 'failed')
  if (failed) return { kind: 'bad', reason: failed.reason ?? 'it was given up after too many ends', isFinal: true }
  if (restartsMax !== undefined) {
    const ended = own.find(({ state }) => state === 'backoff')
    if (ended || restartCount(report, wanted.processGeneration) > restartsMax) {
      const reason = ended?.reason ?? own.find(({ restarts }) => restarts > 0)?.reason
      return { kind: 'bad', reason: reason ?? 'it ended by itself', isFinal: true }
    }
  }
  if (healthyCount(report, wanted.processGeneration) >= wanted.instances) return { kind: 'good' }
  const failing = own.find(({ state, health }) => state === 'running' && health === 'failing')
  if (failing)
    return { kind: 'bad', reason: `its health check fails: ${failing.reason ?? 'no reason given'}`, isFinal: false }
  const reason = own.find(({ reason }) => reason !== undefined)?.reason
  return { kind: 'starting', ...(reason !== undefined && { reason }) }
}
