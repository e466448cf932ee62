import { setFlagsFromString } from 'node:v8'
import type { HttpApp } from './http-app.ts'
import type { RouteNeeds } from './http-needs.ts'

/**
 * Loads the application with its libraries, and builds it. That makes much that lives on; V8 would answer by growing its
 * nursery and keep it at that size for good (5 MB), so it is held back meanwhile, as at the start (bin/p2p.cjs).
 */
export async function loadHttpApp(needs: RouteNeeds): Promise<HttpApp> {
  setFlagsFromString('--semi-space-growth-factor=1')
  try {
    return await (await import('./http-app.ts')).createHttpApp(needs)
  } finally {
    setFlagsFromString('--semi-space-growth-factor=2')
  }
}
