import type { Deployment } from '../base/deployment.ts'

/** What a new service gets where nobody says otherwise. */
export const DEPLOYMENT_DEFAULTS = {
  count: 1,
  placement: { labels: {} },
  update: { kind: 'rolling', batch: 1 },
  healthyMs: 5_000,
  deadlineMs: 30_000,
  config: {},
  secrets: {},
  granted: { net: false, childProcess: false, read: [], write: [] },
  dependsOn: [],
  reserve: { memoryMb: 0, cpus: 0 },
  isStopped: false,
} as const satisfies Partial<Deployment>
