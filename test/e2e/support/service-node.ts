import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { LogEntry } from '../../../src/base/log.ts'
import type { Component } from '../../../src/base/component.ts'
import { createLogger, systemClock, systemFiles, systemRandom } from '../../../src/platform/index.ts'
import {
  createServiceManager,
  type InstanceFacts,
  type ServiceManager,
  type ServiceManagerOptions,
  type ServiceSpec,
  type SpanListener,
} from '../../../src/service/index.ts'
import { parseManifest } from '../../../src/service/definition/manifest.ts'
import { MemoryNetwork } from '../../unit/service/support/memory-peers.ts'
import { StubMembership } from '../../unit/service/support/node.ts'
import { hostBundle } from './host-bundle.ts'
import type { Cleanup } from './node-process.ts'

/** Files by path below the services directory. */
export type Tree = Record<string, string>

/** The services of a node with real processes, real time and a real disk; the rest of the node is not there. */
export interface ServiceNode {
  manager: ServiceManager & Component
  /** The services directory. */
  directory: string
  state: string
  log: LogEntry[]
  /** Calls as an admin would. */
  call(method: string, params?: object, timeoutMs?: number): Promise<unknown>
  write(tree: Tree): void
  /** Instances of a service. */
  instances(name: string): InstanceFacts[]
  /** Resolves when it holds; looked at after each change of the services, and each line of the log. */
  until(holds: () => boolean): Promise<void>
  /** A spec as if it had been deployed from a folder of the tree. */
  spec(folder: string, changes?: Partial<ServiceSpec> & { name: string }): ServiceSpec
}

export async function startServices(
  t: Cleanup,
  tree: Tree,
  options: Partial<ServiceManagerOptions> & { state?: string; stopped?: string[]; spans?: SpanListener } = {},
): Promise<ServiceNode> {
  const { stopped, state: keptState, spans, ...rest } = options
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'p2p-services-')))
  const directory = join(root, 'services')
  const state = keptState ?? join(root, 'state')
  mkdirSync(directory)
  mkdirSync(state, { recursive: true })
  const write = (files: Tree): void => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true })
      writeFileSync(join(directory, path), text)
    }
  }
  write(tree)
  const log: LogEntry[] = []
  const watchers = new Set<() => void>()
  const look = (): void => {
    for (const watcher of watchers) watcher()
  }
  const logger = createLogger({
    level: 'DEBUG',
    format: 'json',
    destination: { write: () => {} },
    sinks: [
      (entry) => {
        log.push(entry)
        look()
      },
    ],
  })
  const { entry, sdkUrl, directory: program } = await hostBundle()
  const identity = { cluster: 'test', role: 'worker', nodeId: 'n1' } as const
  const membership = new StubMembership('n1')
  const manager = createServiceManager(
    {
      clock: systemClock,
      random: systemRandom,
      log: logger,
      files: systemFiles,
      membership,
      peers: new MemoryNetwork().join(identity),
      ...(spans && { spans }),
      ...(stopped && {
        stopped: { load: async () => stopped, save: async (names) => void stopped.splice(0, Infinity, ...names) },
      }),
    },
    {
      identity,
      servicesDirectory: directory,
      sdkUrl,
      outside: { program: { entry, nodeArgs: [], readable: [program] }, stateDirectory: state },
      ...rest,
    },
  )
  const alive = setInterval(() => {}, 1_000_000)
  t.after(async () => {
    await manager.stop()
    clearInterval(alive)
    rmSync(root, { recursive: true, force: true, maxRetries: 5 })
  })
  manager.onChange(() => {
    membership.set(identity, manager.records())
    look()
  })
  await manager.start(new AbortController().signal)
  membership.set(identity, manager.records())
  return {
    manager,
    directory,
    state,
    log,
    write,
    call: (method, params = {}, timeoutMs = 30_000) =>
      manager.call(method, params, {
        caller: { kind: 'person', name: 'ada', role: 'admin' },
        traceId: '0123456789abcdef0123456789abcdef',
        deadlineMs: systemClock.nowMs() + timeoutMs,
      }),
    instances: (name) => manager.host.states().find((service) => service.name === name)?.instances ?? [],
    until: (holds) =>
      new Promise((resolve) => {
        const watcher = (): void => {
          if (!holds()) return
          watchers.delete(watcher)
          resolve()
        }
        watchers.add(watcher)
        watcher()
      }),
    spec: (folder, changes) => specOf(join(directory, folder), changes),
  }
}

/** A spec as the deploying side makes it: with all that the manifest asks for. */
function specOf(folder: string, changes: Partial<ServiceSpec> = {}): ServiceSpec {
  const manifestFile = readdirSync(folder).includes('manifest.json') && join(folder, 'manifest.json')
  const manifest = parseManifest(manifestFile ? JSON.parse(readFileSync(manifestFile, 'utf8')) : {})
  const { net, childProcess, read, write } = manifest.permissions ?? {
    net: false,
    childProcess: false,
    read: [],
    write: [],
  }
  return {
    name: manifest.name ?? 'unnamed',
    version: manifest.version ?? '1.0.0',
    folder,
    kind: manifest.kind ?? (manifest.exec ? 'exec' : 'process'),
    instances: manifest.instances ?? 1,
    manifest,
    permissions: { net, childProcess, read, write },
    config: manifest.config ?? {},
    secrets: {},
    ...changes,
  }
}

/** Whether a process is there, zombies included. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Source of a service with one public method each; `methods` is the text between the braces. */
export function service(name: string, methods: string, rest = ''): string {
  return `import { defineService, method, z, ServiceError } from 'p2p-core/service'
export default defineService({
  name: '${name}', version: '1.0.0', description: 'For a test',
  methods: { ${methods} },
  ${rest}
})
`
}
