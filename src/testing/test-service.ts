import { RpcError } from '../base/errors.ts'
import type { Principal } from '../base/identity.ts'
import type { LogEntry } from '../base/log.ts'
import type { Clock } from '../base/time.ts'
import { createLogger, systemClock } from '../platform/index.ts'
import { type LoneCall, LoneService, type RunClass, type ServiceMetricsSnapshot } from '../service/index.ts'
import type { BaseService, ServiceClient, ServiceDefinition, ServiceProxy } from '../service/sdk/index.ts'
import { SimulatedRandom } from './simulated-random.ts'

/** What `defineService` returns, or a class that extends `BaseService`. */
export type TestableService = ServiceDefinition | (new (serviceName: string, proxyClient?: ServiceProxy) => BaseService)

/** A method of another service, as a test wants it. It may return a promise or an async iterable; what it throws is what the call fails with. */
// The parameters are what the service under test sends; each test knows its own.
// oxlint-disable-next-line typescript/no-explicit-any
export type StubMethod = (params: any, call: LoneCall) => unknown

export interface TestServiceOptions {
  /** What `service.config` gives, as after a deployment; JSON. */
  config?: Readonly<Record<string, unknown>>
  /** What `service.secrets` gives. */
  secrets?: Readonly<Record<string, string>>
  /** What `service.dataDirectory` gives; without it empty. */
  dataDirectory?: string
  /** The other services there are: by name, then by method. */
  services?: Readonly<Record<string, Readonly<Record<string, StubMethod>>>>
  /** Deadlines, limits and times of metrics follow it: the machine's clock, or a `SimulatedClock` that a test moves. */
  clock?: Clock
  /** Of a class without SERVICE_NAME; by default `service`. */
  name?: string
}

/** A service that runs as on a node, and what it has done. */
export interface TestService<Source> {
  /** Calls it as another service of its node does: `await greeter.client.greet({ name: 'Ada' })`. */
  readonly client: ServiceClient<Source>
  /** Calls it as somebody else: a person of a role, a service on another node. */
  as(caller: Principal): ServiceClient<Source>
  /** Calls it has made of other services, in order. */
  readonly calls: readonly LoneCall[]
  /** Events it has published, in order. */
  readonly published: readonly { topic: string; data: unknown }[]
  /** Lines it has logged, in order, as a node keeps them: secrets replaced. */
  readonly lines: readonly LogEntry[]
  /** What it has counted and measured. */
  metrics(): ServiceMetricsSnapshot
  /** What it says of itself with `reportHealth`. */
  health(): { health: 'healthy' | 'failing' | undefined; reason: string | undefined }
  /** Publishes an event as another service, named in `from`; the service's handlers have begun when it returns. */
  publish(topic: string, data?: unknown, from?: string): void
  /** Gives it other settings as it runs, as with `"reload": "signal"`; what is left out stays. @throws what its `reconfigure` throws */
  reconfigure(settings: Pick<TestServiceOptions, 'config' | 'secrets'>): Promise<void>
  /** Stops it as a node does: no new calls, running ones end, `cleanup`. */
  stop(): Promise<void>
}

const NODE = { cluster: 'test', nodeId: 'test-node', role: 'worker' } as const
const NEIGHBOUR: Principal = { kind: 'node', nodeId: NODE.nodeId, role: NODE.role, service: 'test' }
const TRACE_ID = '0123456789abcdef0123456789abcdef'

/**
 * Runs a service for a test as a node would, without node, process or port: schemas are checked, defaults filled in, access,
 * deadlines and limits kept, and errors are those its callers get. It is stopped after the test.
 * @param t the test, for instance the context of `node:test`; without one the caller stops the service
 * @throws {RpcError} P2P_SERVICE_LOAD_FAILED: it is no service; P2P_SERVICE_START_FAILED: `initialize` failed, see `cause`
 * @example
 * ```ts
 * const greeter = await startTestService(t, Run, { services: { system: { get_system_info: () => ({ hostname: 'rack-7' }) } } })
 * assert.deepEqual(await greeter.client.greet({ name: 'Ada' }), { greeting: 'Hello Ada', from: 'rack-7' })
 * ```
 */
export async function startTestService<Source extends TestableService>(
  t: { after(fn: () => Promise<void>): unknown } | undefined,
  source: Source,
  options: TestServiceOptions = {},
): Promise<TestService<Source>> {
  const {
    config = {},
    secrets = {},
    dataDirectory = '',
    services = {},
    clock = systemClock,
    name = 'service',
  } = options
  let settings = { config, secrets }
  const calls: LoneCall[] = []
  const published: { topic: string; data: unknown }[] = []
  const lines: LogEntry[] = []
  const service = new LoneService(
    source as ServiceDefinition | RunClass,
    {
      clock,
      random: new SimulatedRandom(1),
      log: createLogger({
        level: 'DEBUG',
        format: 'text',
        destination: { write: () => {} },
        sinks: [(line) => lines.push(line)],
      }),
      answer(call) {
        calls.push(call)
        return stubOf(services, call)(call.params, call)
      },
      onPublished: (topic, data) => published.push({ topic, data }),
    },
    { identity: NODE, nameOfClass: name, config, secrets, dataDirectory },
  )
  await service.start()
  t?.after(() => service.stop())
  const as = (caller: Principal) => service.clientOf(caller) as unknown as ServiceClient<Source>
  return {
    client: as(NEIGHBOUR),
    as,
    calls,
    published,
    lines,
    metrics: () => service.metrics(),
    health() {
      const { health, healthReason } = service.describe()
      return { health, reason: healthReason }
    },
    publish: (topic, data, from = 'test') => service.hear(from, topic, data, TRACE_ID),
    async reconfigure(changed) {
      const next = { ...settings, ...changed }
      await service.reconfigure(next)
      settings = next
    },
    stop: () => service.stop(),
  }
}

/** @throws {RpcError} P2P_RPC_METHOD_NOT_FOUND: the test has no such method */
function stubOf(services: NonNullable<TestServiceOptions['services']>, { service, method }: LoneCall): StubMethod {
  const stub = Object.hasOwn(services, service) ? services[service] : undefined
  if (stub && Object.hasOwn(stub, method)) return stub[method] as StubMethod
  const message = `The service called ${service}/${method}, which this test has not: give it in services: { ${service}: { ${method}: () => … } }`
  throw new RpcError('P2P_RPC_METHOD_NOT_FOUND', message, { method: `${service}/${method}` })
}
