import { useQuery } from '@tanstack/react-query'
import { get } from '../api/http.ts'
import type { ServiceSummary } from '../api/types.ts'

interface OwnService {
  info: { metadata: { builtin?: boolean } }
}

/**
 * Services that people brought, and those that are part of P2P Core; the node asked runs all of the latter.
 * Before it has answered all count as built in; where it does not answer, none.
 */
export function useServiceKinds(services: ServiceSummary[]): { brought: ServiceSummary[]; builtIn: ServiceSummary[] } {
  const own = useQuery({
    queryKey: ['own-services'],
    queryFn: async ({ signal }) => {
      const all = await get<Record<string, OwnService>>('/services', signal)
      return Object.entries(all).flatMap(([name, { info }]) => (info.metadata.builtin === true ? [name] : []))
    },
    staleTime: Number.POSITIVE_INFINITY,
  })
  if (own.isPending) return { brought: [], builtIn: services }
  const names = new Set(own.data)
  return {
    brought: services.filter(({ name }) => !names.has(name)),
    builtIn: services.filter(({ name }) => names.has(name)),
  }
}
