import { useQuery } from '@tanstack/react-query'
import { every } from '../api/asking.ts'
import { get } from '../api/http.ts'
import type { DeploymentStatus } from '../api/types.ts'

const DEPLOYMENTS_EVERY_MS = 10_000

/** What people deployed; nothing on a node that is no coordinator. */
export function useDeployments() {
  return useQuery({
    queryKey: ['deployments'],
    queryFn: async ({ signal }) =>
      (await get<{ deployments: DeploymentStatus[] }>('/api/deployments', signal)).deployments,
    refetchInterval: every(DEPLOYMENTS_EVERY_MS),
  })
}
