import type { MethodDescriptor } from '../../service/index.ts'
import type { Deployment, UpdateStrategy } from '../../base/deployment.ts'
import type { DeployPlan } from '../../base/deployment.ts'
import { type Incompatibilities, incompatibilities } from './compatibility/incompatibilities.ts'
import { scheduleProblem } from './cron.ts'
import { startOrder } from './dependencies.ts'
import { diffDeployments } from './diff-deployments.ts'
import { place } from './place.ts'
import type { PlanNode } from './plan-node.ts'
import { deploymentOf, type ServicePlan } from './service-plan.ts'
import { promisesCompatibility, versionGoesBackwards } from './version.ts'

export interface PlanDeploymentInput {
  next: Deployment
  /** Of all services. */
  plans: readonly ServicePlan[]
  nodes: readonly PlanNode[]
  /** Every service of the cluster by name, whoever started it: what may be depended on. */
  services: ReadonlySet<string>
  /** Methods of the version that runs and of the next one; undefined: not known, and not compared. */
  methods: { before: readonly MethodDescriptor[] | undefined; after: readonly MethodDescriptor[] | undefined }
  /** Who called a method in the last days, from elsewhere: names of services, and `person:<name>`. */
  callersOf(method: string): readonly string[]
  /** What a person may insist on is warned of instead of refused. */
  force: boolean
}

/** Reasons to refuse a deployment. `force` overrides the first three. */
export type RefusalCode =
  | 'VERSION_BACKWARDS'
  | 'INCOMPATIBLE'
  | 'NO_PLACE'
  | 'DEPENDENCY_UNKNOWN'
  | 'DEPENDENCY_CYCLE'
  | 'SCHEDULE_INVALID'
  | 'UPDATE_INVALID'

const FORCEABLE: ReadonlySet<RefusalCode> = new Set(['VERSION_BACKWARDS', 'INCOMPATIBLE', 'NO_PLACE'])

interface Refusal {
  code: RefusalCode
  message: string
}

/** What a deployment would change, and what speaks against it; changes nothing. */
export function planDeployment(input: PlanDeploymentInput): DeployPlan {
  const { next, plans, nodes, methods, force } = input
  const plan = plans.find(({ service }) => service === next.service)
  const before = plan && deploymentOf(plan)
  const found: Incompatibilities =
    methods.before && methods.after
      ? incompatibilities(methods.before, methods.after, (method) => input.callersOf(method))
      : { breaking: [], unclear: [] }
  const { moves, problems, isNowhere } = placementOf(next, plans, nodes)
  const all = [
    ...versionRefusals(before, next),
    ...compatibilityRefusals(found),
    ...(isNowhere ? [{ code: 'NO_PLACE' as const, message: problems.join(' ') }] : []),
    ...dependencyRefusals(input),
    ...ruleRefusals(next),
  ]
  const overridden = force ? all.filter(({ code }) => FORCEABLE.has(code)) : []
  return {
    service: next.service,
    fromVersion: before?.version,
    toVersion: next.version,
    changes: diffDeployments(before, next),
    nodes: moves.map(({ nodeId, from, to }) => ({
      nodeId,
      from,
      to,
      replaces: from > 0 && to > 0 && before?.processGeneration !== next.processGeneration,
    })),
    incompatible: found.breaking,
    refusals: all.filter((refusal) => !overridden.includes(refusal)),
    warnings: [
      ...overridden.map(({ message }) => message),
      ...(isNowhere ? [] : problems),
      ...found.breaking
        .filter(({ callers }) => callers.length === 0)
        .map(({ method, what }) => `${method}: ${what}; nobody has called it in the last days`),
      ...found.unclear.map(({ method, what }) => `${method}: ${what}`),
      ...versionWarnings(before, next, found),
    ],
  }
}

interface Move {
  nodeId: string
  from: number
  to: number
}

function placementOf(
  next: Deployment,
  plans: readonly ServicePlan[],
  nodes: readonly PlanNode[],
): { moves: Move[]; problems: string[]; isNowhere: boolean } {
  const others = plans.filter(({ service }) => service !== next.service)
  const placed = plans.flatMap(({ service, nodes: planned }) =>
    planned.map(({ nodeId, instances }) => ({ service, nodeId, instances })),
  )
  const deployments = [...others.map((plan) => deploymentOf(plan)), next]
  const mine = place({ deployments, nodes, placed }).services.at(-1)
  const to = mine?.nodes ?? new Map<string, number>()
  const from = new Map(
    placed.filter(({ service }) => service === next.service).map(({ nodeId, instances }) => [nodeId, instances]),
  )
  const nodeIds = [...new Set([...from.keys(), ...to.keys()])].sort()
  return {
    moves: nodeIds.map((nodeId) => ({ nodeId, from: from.get(nodeId) ?? 0, to: to.get(nodeId) ?? 0 })),
    problems: mine?.problems ?? [],
    isNowhere: to.size === 0 && !next.isStopped && next.count !== 0,
  }
}

function versionRefusals(before: Deployment | undefined, next: Deployment): Refusal[] {
  if (!before || !versionGoesBackwards(before.version, next.version)) return []
  const message = `Version ${next.version} is older than ${before.version}, which runs: p2p rollback ${next.service} goes back to it; --force deploys it as it is`
  return [{ code: 'VERSION_BACKWARDS', message }]
}

function compatibilityRefusals({ breaking }: Incompatibilities): Refusal[] {
  return breaking
    .filter(({ callers }) => callers.length > 0)
    .map(({ method, what, callers }) => ({
      code: 'INCOMPATIBLE',
      message: `${method}: ${what}, and ${list(callers)} called it in the last days: keep the method as it was beside the new one, or --force`,
    }))
}

/** At most so many callers are named in a sentence. */
const NAMED_MAX = 5

function list(callers: readonly string[]): string {
  const names = callers.slice(0, NAMED_MAX).map((caller) => caller.replace(/^person:/, ''))
  const more = callers.length - names.length
  return [...names, ...(more > 0 ? [`${more} more`] : [])].join(', ').replace(/, ([^,]*)$/, ' and $1')
}

function dependencyRefusals({ next, plans, services }: PlanDeploymentInput): Refusal[] {
  const refusals: Refusal[] = []
  for (const { service } of next.dependsOn) {
    const isKnown = services.has(service) || plans.some((plan) => plan.service === service) || service === next.service
    if (isKnown) continue
    refusals.push({
      code: 'DEPENDENCY_UNKNOWN',
      message: `It depends on ${service}, which is neither deployed nor on any node: deploy ${service} first`,
    })
  }
  const others = plans.filter(({ service }) => service !== next.service).map((plan) => deploymentOf(plan))
  const found = startOrder([...others, next])
  if ('cycle' in found) {
    const message = `Each of ${found.cycle.join(' → ')} depends on the next one, so none could start: remove one of the dependencies`
    refusals.push({ code: 'DEPENDENCY_CYCLE', message })
  }
  return refusals
}

function ruleRefusals({ job, update }: Deployment): Refusal[] {
  const refusals: Refusal[] = []
  const problem = job?.kind === 'cron' ? scheduleProblem(job.schedule, job.timeZone) : undefined
  if (problem !== undefined)
    refusals.push({ code: 'SCHEDULE_INVALID', message: `The schedule cannot be used: ${problem}` })
  const invalid = updateProblem(update)
  if (invalid !== undefined) refusals.push({ code: 'UPDATE_INVALID', message: invalid })
  return refusals
}

function updateProblem(update: UpdateStrategy): string | undefined {
  if (update.kind === 'all-at-once') return undefined
  if (!isPositive(update.batch)) return `A batch of ${update.batch} nodes never gets anywhere: 1 or more`
  if (update.kind === 'canary' && !isPositive(update.nodes))
    return `A canary on ${update.nodes} nodes shows nothing: 1 or more`
  return undefined
}

function isPositive(value: number): boolean {
  return Number.isInteger(value) && value >= 1
}

function versionWarnings(before: Deployment | undefined, next: Deployment, { breaking }: Incompatibilities): string[] {
  if (!before) return []
  const warnings: string[] = []
  if (before.version === next.version && before.artifact !== next.artifact) {
    warnings.push(`Version ${next.version} runs already, with other files: give what is different a version of its own`)
  }
  if (breaking.length > 0 && promisesCompatibility(before.version, next.version)) {
    warnings.push(
      `${next.version} promises to be compatible with ${before.version} and is not: raise the ${before.version.startsWith('0.') ? 'minor' : 'major'} version`,
    )
  }
  return warnings
}
