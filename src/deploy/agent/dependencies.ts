import type { Member } from '../../base/member.ts'
import type { Deployment } from '../../base/deployment.ts'

/** @returns the first service the deployment depends on that no live member runs; undefined when all are there */
export function missingDependency({ dependsOn }: Deployment, members: readonly Member[]): string | undefined {
  const up = members
    .filter(({ status }) => status === 'alive' || status === 'suspect')
    .flatMap(({ record }) => record.services)
  return dependsOn.find(
    ({ service, healthy }) =>
      !up.some(
        (candidate) =>
          candidate.name === service &&
          (candidate.health === 'healthy' || (!healthy && candidate.health === 'failing')),
      ),
  )?.service
}
