import type { RouteKey } from '../auth/access.ts'

/** Requests answered since start by route and status: plain numbers, so that counting costs nothing until somebody asks. */
export interface RequestCounts {
  /** @param route undefined for paths that do not exist */
  add(route: RouteKey | undefined, status: number): void
  list(): { route: string; status: number; count: number }[]
}

export function createRequestCounts(): RequestCounts {
  const counts = new Map<string, { route: string; status: number; count: number }>()
  return {
    add(route = 'unknown' as RouteKey, status) {
      const key = `${route} ${status}`
      const entry = counts.get(key)
      if (entry) entry.count++
      else counts.set(key, { route, status, count: 1 })
    },
    list: () => [...counts.values()],
  }
}
