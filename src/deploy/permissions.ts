import { isAbsolute, posix, win32 } from 'node:path'
import type { Permissions } from '../base/deployment.ts'

/** Nothing beside computing, its own folder, and its data directory. */
export const NO_PERMISSIONS: Permissions = { net: false, childProcess: false, read: [], write: [] }

/** What a service gets: what its manifest asks for, as far as whoever deployed it granted it. */
export function effectivePermissions(asked: Permissions, granted: Permissions): Permissions {
  return {
    net: asked.net && granted.net,
    childProcess: asked.childProcess && granted.childProcess,
    read: bothAllow(asked.read, granted.read),
    write: bothAllow(asked.write, granted.write),
  }
}

/** What the manifest asks for and nobody granted, as `p2p deploy --grant` takes it: `net`, `write=/var/lib/shop`. */
export function missingGrants(asked: Permissions, granted: Permissions): string[] {
  return [
    ...(asked.net && !granted.net ? ['net'] : []),
    ...(asked.childProcess && !granted.childProcess ? ['childProcess'] : []),
    ...notWithin(asked.read, granted.read).map((path) => `read=${path}`),
    ...notWithin(asked.write, granted.write).map((path) => `write=${path}`),
  ]
}

/** Relative paths are below the service's own folder, which needs no grant. */
function notWithin(asked: readonly string[], granted: readonly string[]): string[] {
  return asked
    .filter((path) => isAbsolute(path) || win32.isAbsolute(path))
    .filter((path) => !granted.some((outer) => isWithin(path, outer)))
}

/** Paths below one of `a` and one of `b`: of two that nest, the inner one. */
function bothAllow(a: readonly string[], b: readonly string[]): string[] {
  const inner = (from: readonly string[], within: readonly string[]): string[] =>
    from.filter((path) => within.some((outer) => isWithin(path, outer)))
  return [...new Set([...inner(a, b), ...inner(b, a)])].sort()
}

function isWithin(path: string, outer: string): boolean {
  const rules = path.startsWith('/') ? posix : win32
  const way = rules.relative(rules.normalize(outer), rules.normalize(path))
  return way === '' || (!rules.isAbsolute(way) && !/^\.\.(?:[/\\]|$)/.test(way))
}
