import { defineService, method, z } from 'p2p-core/service'
import { CheckName, CheckStatus, NewCheck, Result, RESULTS_MAX, State } from './check.ts'
import { watchFolder } from './folder-changes.ts'
import { probe } from './probe.ts'
import { Watcher } from './watcher.ts'

let watcher: Watcher | undefined

/** Answers from memory are as cheap as a cache, so no method keeps its results. */
export default defineService({
  name: 'watch',
  version: '1.0.0',
  description: 'Watches web pages, TCP ports and folders, and remembers when they failed or changed.',
  metadata: { storage: 'memory: checks and their history are gone when the service stops' },
  methods: {
    add_check: method({
      description: 'Starts watching a web page, a TCP port or a folder from this node',
      public: true,
      requiredRole: 'operator',
      params: NewCheck,
      result: CheckStatus,
      handler: (check) => running().add(check),
    }),
    remove_check: method({
      description: 'Stops watching and forgets the history of a check',
      public: true,
      requiredRole: 'operator',
      params: z.object({ name: CheckName }),
      result: z.object({ removed: z.string() }),
      handler: ({ name }) => {
        running().remove(name)
        return { removed: name }
      },
    }),
    list_checks: method({
      description: 'All checks of this node with their settings and state',
      public: true,
      requiredRole: 'viewer',
      params: z.object({}),
      result: z.object({ checks: z.array(CheckStatus) }),
      handler: () => ({ checks: running().list() }),
    }),
    status: method({
      description: 'How many checks are up and down, and what is wrong with those that are down',
      public: true,
      requiredRole: 'viewer',
      params: z.object({}),
      result: z.object({
        state: State.describe('down when any check is down, pending while none has run'),
        up: z.number(),
        down: z.number(),
        pending: z.number(),
        problems: z.array(z.object({ name: z.string(), target: z.string(), since: z.string(), detail: z.string() })),
      }),
      handler: () => summaryOf(running().list()),
    }),
    history: method({
      description: 'The last results of a check, newest first',
      public: true,
      requiredRole: 'viewer',
      params: z.object({ name: CheckName, limit: z.number().int().min(1).max(RESULTS_MAX).default(RESULTS_MAX) }),
      result: z.object({ name: z.string(), results: z.array(Result) }),
      handler: ({ name, limit }) => ({ name, results: running().history(name, limit) }),
    }),
  },
  initialize(service) {
    watcher = new Watcher({
      log: service.logger,
      nowMs: () => Date.now(),
      after: (delayMs, fn) => {
        const timer = setTimeout(fn, delayMs).unref()
        return () => clearTimeout(timer)
      },
      probe,
      watchFolder,
    })
  },
  cleanup() {
    watcher?.close()
    watcher = undefined
  },
})

function running(): Watcher {
  if (!watcher) throw new Error('The watch service is not running')
  return watcher
}

function summaryOf(checks: CheckStatus[]) {
  const count = (state: State): number => checks.filter((check) => check.state === state).length
  const [up, down, pending] = [count('up'), count('down'), count('pending')]
  const problems = checks
    .filter((check) => check.state === 'down')
    .map(({ name, target, since, last_result: last }) => ({ name, target, since, detail: last?.detail ?? '' }))
  const state: State = down > 0 ? 'down' : up > 0 ? 'up' : 'pending'
  return { state, up, down, pending, problems }
}
