import { type Logger, silentLogger } from '../../base/log.ts'
import { ATTACH, SERVICE_CLASS } from './brands.ts'
import { createServiceMetrics, type ServiceMetrics } from './service-metrics.ts'
import type { ServiceEvents } from './service-events.ts'
import type { ServiceProxy } from './service-proxy.ts'
import type { ServiceRuntime, SettingsChange } from './service-runtime.ts'

/** What a service says of itself; set it in the constructor or in `initialize`. What is left empty comes from `manifest.json`. */
export interface ServiceInfo {
  name: string
  version: string
  description: string
  /** Free facts; JSON. */
  metadata: Record<string, unknown>
}

/**
 * Base of a service class. `main.ts` exports a subclass named `Run`; methods marked with `serviceMethod` can be
 * called, nothing else can.
 *
 * The node passes the service's name and the proxy to the constructor; hand both to `super`. Without a node (in a
 * test) log lines go nowhere and the proxy refuses to call.
 */
export class BaseService {
  readonly serviceName: string
  readonly info: ServiceInfo
  #runtime: ServiceRuntime

  constructor(serviceName: string, proxyClient?: ServiceProxy) {
    this.serviceName = serviceName
    this.info = { name: serviceName, version: '', description: '', metadata: {} }
    this.#runtime = (proxyClient as RuntimeCarrier | undefined)?.[ATTACH] ?? standaloneRuntime(serviceName, proxyClient)
  }

  get [SERVICE_CLASS](): true {
    return true
  }

  get logger(): Logger {
    return this.#runtime.logger
  }

  get proxy(): ServiceProxy {
    return this.#runtime.proxy
  }

  get events(): ServiceEvents {
    return this.#runtime.events
  }

  get metrics(): ServiceMetrics {
    return this.#runtime.metrics
  }

  /** See {@link ServiceRuntime.config}. */
  get config(): Readonly<Record<string, unknown>> {
    return this.#runtime.config
  }

  /** See {@link ServiceRuntime.secrets}. */
  get secrets(): Readonly<Record<string, string>> {
    return this.#runtime.secrets
  }

  /** See {@link ServiceRuntime.dataDirectory}. */
  get dataDirectory(): string {
    return this.#runtime.dataDirectory
  }

  /** Aborted when the service is to stop: hand it to everything that waits or repeats in the background. */
  get signal(): AbortSignal {
    return this.#runtime.signal
  }

  /** Says how the service is; see {@link ServiceRuntime.reportHealth}. */
  reportHealth(health: 'healthy' | 'failing', reason?: string): void {
    this.#runtime.reportHealth(health, reason)
  }

  /** Called once, before the first call. A service whose `initialize` throws or hangs is not started. */
  initialize(): void | Promise<void> {}

  /** Called once, after the last call and after `signal` was aborted. */
  cleanup(): void | Promise<void> {}

  /**
   * Called when `config` or `secrets` have other values than before, of services with `"reload": "signal"` in `manifest.json`. What
   * throws, or takes longer than a start may, is not taken: the service has the old values again, and the change is taken back.
   */
  reconfigure(_change: SettingsChange): void | Promise<void> {}

  /** The node's way in, for a subclass whose constructor did not hand on the proxy. */
  [ATTACH](runtime: ServiceRuntime): void {
    this.#runtime = runtime
  }
}

/** The node's proxy carries what else the node gives, so that it is there in the constructor already. */
interface RuntimeCarrier {
  readonly [ATTACH]?: ServiceRuntime
}

function standaloneRuntime(name: string, proxy: ServiceProxy | undefined): ServiceRuntime {
  return {
    name,
    logger: silentLogger,
    proxy: proxy ?? unconnectedProxy,
    events: unconnectedEvents,
    metrics: createServiceMetrics(() => performance.now()),
    config: {},
    secrets: {},
    dataDirectory: '',
    signal: new AbortController().signal,
    reportHealth: () => {},
  }
}

/** What a service publishes in a test is heard by nobody. */
const unconnectedEvents: ServiceEvents = { publish: () => {}, subscribe: () => () => {} }

const unconnectedProxy = new Proxy({} as ServiceProxy, {
  get(_target, service) {
    throw new Error(`Service ${String(service)} cannot be called: this service object was not started by a node`)
  },
})
