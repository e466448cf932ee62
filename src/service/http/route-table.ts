import { distance } from 'fastest-levenshtein'
import { ACCESS, type RouteKey } from '../auth/access.ts'

interface TableRoute {
  key: RouteKey
  method: string
  path: string
  pattern: RegExp
}

const ROUTES: readonly TableRoute[] = (Object.keys(ACCESS) as RouteKey[]).map((key) => {
  const [method, path] = key.split(' ') as [string, string]
  return { key, method, path, pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`) }
})

/** The table's routes for a concrete path, whatever the method. */
export function routesAt(path: string): readonly { key: RouteKey; method: string }[] {
  return ROUTES.filter((route) => route.pattern.test(path))
}

const NEAR_PATHS_MAX = 3

/** Paths of the table that the caller may have meant, nearest first. */
export function nearestPaths(path: string): string[] {
  const known = [...new Set(ROUTES.map((route) => route.path))]
  const ranked = known.map((candidate) => ({ candidate, edits: distance(path.slice(0, 100), candidate) }))
  const near = ranked.filter(({ candidate, edits }) => edits <= Math.max(2, candidate.length / 3))
  return near
    .sort((a, b) => a.edits - b.edits)
    .slice(0, NEAR_PATHS_MAX)
    .map(({ candidate }) => candidate)
}
