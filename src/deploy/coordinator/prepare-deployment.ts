import type { ErrorCode } from '../../base/errors.ts'
import { isServiceName } from '../../service/index.ts'
import type { ArtifactFacts } from '../artifacts/artifact-facts.ts'
import type { Deployment } from '../../base/deployment.ts'
import type { DeployPlan, DeployRequest } from '../../base/deployment.ts'
import type { MethodsOfBundle } from './known-methods.ts'
import { missingGrants, NO_PERMISSIONS } from '../permissions.ts'
import { deploymentOf, planDeployment, type PlanNode, type ServicePlan } from '../plan/index.ts'
import { nextDeployment } from './next-deployment.ts'

export interface PreparationInput {
  request: DeployRequest
  /** All that is deployed. */
  plans: readonly ServicePlan[]
  generation: number
  nodes: readonly PlanNode[]
  /** Names of all services of the cluster, whoever started them. */
  services: ReadonlySet<string>
  /** Of the artifact that is to run; undefined where there is none. */
  artifact: ArtifactFacts | undefined
  /** What is known of their methods; undefined where the bundle stays as it is. */
  methods: { before: MethodsOfBundle; after: MethodsOfBundle } | undefined
  /** Who has called a method of the service in the last days: names of services, and `person:<name>`. */
  callersOf: (method: string) => readonly string[]
  /** The newest version of a secret; undefined: there is no such secret. */
  secretVersion: (name: string) => number | undefined
  isReserved: (service: string) => boolean
  by: string
  atMs: number
}

export interface Prepared {
  preview: DeployPlan
  /** Only to be used when nothing refuses it. */
  deployment: Deployment
}

type Refusal = DeployPlan['refusals'][number]

/** One deployment's configuration; it travels in the plans of all its nodes. */
const CONFIG_BYTES_MAX = 64 * 1_024
/** Services in one cluster. */
const DEPLOYMENTS_MAX = 256

/** What a request would make of what is deployed, and what speaks against it. Changes nothing. */
export function prepareDeployment(input: PreparationInput): Prepared {
  const { request, plans, nodes, services, methods } = input
  const plan = plans.find(({ service }) => service === request.service)
  const deployment = deploymentFor(input, plan && deploymentOf(plan))
  const force = request.force ?? false
  const preview = planDeployment({
    next: deployment,
    plans,
    nodes,
    services,
    methods: { before: methods?.before.methods, after: methods?.after.methods },
    callersOf: (method) => runningCallers(input, method),
    force,
  })
  const refusals = [...ownRefusals(input, plan, deployment), ...(force ? [] : busyRefusal(plan)), ...preview.refusals]
  const warnings = [...preview.warnings, ...unknownMethods(input, deployment)]
  return { deployment, preview: { ...preview, refusals, warnings } }
}

function deploymentFor(input: PreparationInput, base: Deployment | undefined): Deployment {
  const { request, artifact, generation, secretVersion, by, atMs } = input
  const asked = artifact?.manifest
  // What the manifest asks for by name is meant, unless somebody says otherwise.
  const sameNames = Object.fromEntries((asked?.secrets ?? []).map((name) => [name, name]))
  const secrets = { ...sameNames, ...base?.secrets, ...request.secrets }
  const dependsOn = request.dependsOn ?? (request.artifact === undefined ? undefined : asked?.dependsOn)
  const names = [...new Set(Object.values(secrets))]
  return nextDeployment({
    request: { ...request, secrets, ...(dependsOn && { dependsOn }) },
    base,
    generation,
    artifact: request.artifact ?? base?.artifact ?? '',
    version: artifact?.version ?? base?.version ?? '',
    secretVersions: Object.fromEntries(names.map((name) => [name, secretVersion(name) ?? 0])),
    by,
    atMs,
  })
}

/** What no `force` helps against. */
function ownRefusals(
  { plans, artifact: facts, secretVersion, isReserved }: PreparationInput,
  plan: ServicePlan | undefined,
  { service, artifact, secrets, granted, config }: Deployment,
): Refusal[] {
  const found: Refusal[] = []
  const say = (code: ErrorCode, message: string): void => void found.push({ code, message })
  if (!isServiceName(service)) say('P2P_DEPLOY_INVALID', `"${service}" is no name of a service`)
  if (isReserved(service)) say('P2P_DEPLOY_INVALID', `${service} is the name of a part of every node: choose another`)
  if (!plan && plans.length >= DEPLOYMENTS_MAX)
    say('P2P_DEPLOY_INVALID', `${plans.length} services are deployed already`)
  if (artifact === '') say('P2P_DEPLOY_INVALID', `${service} was never deployed: say which bundle is to run`)
  else if (!facts) say('P2P_DEPLOY_ARTIFACT_UNKNOWN', `there is no bundle ${artifact} here: upload it first`)
  else if (facts.service !== service) {
    say('P2P_DEPLOY_INVALID', `the bundle holds service ${facts.service}, not ${service}`)
  }
  if (facts?.kind === 'program') {
    say('P2P_DEPLOY_INVALID', 'the bundle holds the program of the nodes, which is no service: p2p upgrade')
  }
  for (const name of new Set(Object.values(secrets))) {
    if (secretVersion(name) !== undefined) continue
    say('P2P_DEPLOY_SECRET_UNKNOWN', `it needs secret ${name}, which is not there: p2p secrets set ${name}`)
  }
  const asked = facts?.manifest.permissions ?? NO_PERMISSIONS
  const missing = missingGrants(asked, granted)
  if (missing.length > 0) {
    const all = missingGrants(asked, NO_PERMISSIONS).join(',')
    say(
      'P2P_DEPLOY_REFUSED',
      `its manifest asks for ${missing.join(', ')}, which is not granted: --grant ${all} grants it`,
    )
  }
  if (JSON.stringify(config).length > CONFIG_BYTES_MAX) {
    say('P2P_DEPLOY_INVALID', `its configuration has more than ${CONFIG_BYTES_MAX} bytes: put files into the bundle`)
  }
  return found
}

function busyRefusal(plan: ServicePlan | undefined): Refusal[] {
  if (plan?.rollout.state !== 'running') return []
  const message = `generation ${plan.rollout.to} of ${plan.service} is on its way: wait for its end, or --force takes its place`
  return [{ code: 'P2P_DEPLOY_BUSY', message }]
}

/** A service that called and is nowhere any more misses nothing. */
function runningCallers({ plans, services, callersOf }: PreparationInput, method: string): string[] {
  const isThere = (name: string): boolean => services.has(name) || plans.some(({ service }) => service === name)
  return callersOf(method).filter((caller) => caller.startsWith('person:') || isThere(caller))
}

function unknownMethods({ methods, plans, request }: PreparationInput, { version }: Deployment): string[] {
  if (!methods) return []
  const runs = plans.find(({ service }) => service === request.service)
  const found = [
    [runs && deploymentOf(runs).version, methods.before],
    [version, methods.after],
  ] as const
  return found.flatMap(([of, { unknown }]) =>
    unknown === undefined
      ? []
      : [`Whether callers would break is not known: the methods of ${of} cannot be told: ${unknown}`],
  )
}
