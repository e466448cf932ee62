import { DeployError } from '../../base/errors.ts'
import type { NodeId } from '../../base/identity.ts'
import { assignmentsOf } from '../plan/index.ts'
import type { SecretStore } from '../secrets/secret-store.ts'
import type { DesiredState } from './desired-state.ts'

export interface WantedSecret {
  name: string
  version: number
}

/**
 * The values a node asks for: only of secrets that the services in its plan name, in the versions they name.
 * @throws {DeployError} P2P_DEPLOY_SECRET_UNKNOWN
 */
export function secretsForNode(
  { state, secrets }: { state: DesiredState; secrets: SecretStore },
  nodeId: NodeId,
  wanted: readonly WantedSecret[],
): (WantedSecret & { value: string })[] {
  const allowed = new Set(
    assignmentsOf(state.plans(), nodeId).flatMap(({ deployment }) =>
      Object.entries(deployment.secretVersions ?? {}).map(([name, version]) => `${name}@${version}`),
    ),
  )
  return wanted.map(({ name, version }) => {
    const value = allowed.has(`${name}@${version}`) ? secrets.value(name, version) : undefined
    if (value !== undefined) return { name, version, value }
    const message = `No service of node ${nodeId} uses version ${version} of secret ${name}, or that value is not kept any more: deploy the service again`
    throw new DeployError('P2P_DEPLOY_SECRET_UNKNOWN', message, { name, version })
  })
}
