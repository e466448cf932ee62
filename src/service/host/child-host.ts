import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Principal } from '../../base/identity.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { createServiceProxy } from '../calls/create-proxy.ts'
import { LinkEvents } from '../events/link-events.ts'
import { unknownMethod } from '../calls/missing-method.ts'
import { type CallLink, createCallLink, type Reply, type ServedCall, type ServedContext } from '../link/call-link.ts'
import { LinkCaller } from '../calls/link-caller.ts'
import { LocalDispatch } from '../calls/local-dispatch.ts'
import { createModuleLoader, messageWithPlace, placeOf } from '../definition/module-loader.ts'
import type { RawJson } from '../calls/raw-json.ts'
import { type ServiceSource, sourceOfModule } from '../definition/service-body.ts'
import { ServiceInstance } from '../service-instance.ts'
import { showSourceLines } from '../definition/translate.ts'
import { withinLimit } from '../within-limit.ts'
import { permissionRemedy } from '../definition/permission-remedy.ts'
import type { HostChannel } from './host-channel.ts'
import type { HostOrder, HostReport, LoadOrder, ReconfigureOrder } from './host-message.ts'
import { createLinkLogger } from './link-logger.ts'

export interface ChildHostNeeds {
  clock: Clock
  random: Random
  /** Opens the channel to the node. */
  connect(handlers: { onCall(payload: Uint8Array): void; onControl(message: unknown): void }): HostChannel
  /** Resident memory, and processor time since the start. */
  usage(): { memoryBytes: number; cpuMs: number }
  /** Ends the process or thread, after what was written has left. */
  exit(code: number): void
}

/** The side of a service: in its own process or thread it loads the service, runs it, and speaks with the node. */
export class ChildHost {
  readonly #needs: ChildHostNeeds
  readonly #channel: HostChannel
  readonly #link: CallLink
  readonly #events: LinkEvents
  readonly #log: Logger
  #dispatch: LocalDispatch | undefined
  #order: LoadOrder | undefined
  #source: ServiceSource | undefined
  #instance: ServiceInstance | undefined
  #isEnding = false

  constructor(needs: ChildHostNeeds) {
    this.#needs = needs
    this.#log = createLinkLogger((report) => this.#report(report))
    this.#channel = needs.connect({
      onCall: (payload) => this.#link.receive(payload),
      onControl: (message) => this.#take(message as HostOrder),
    })
    this.#link = createCallLink({
      clock: needs.clock,
      log: this.#log,
      channel: this.#channel,
      serve: (method, params, context, reply) => this.#serve(method, params, context, reply),
    })
    this.#events = new LinkEvents({ link: this.#link, clock: needs.clock, random: needs.random, log: this.#log })
    // Without its node a service is nobody's: it ends, however the node ended.
    this.#channel.closed.addEventListener('abort', () => this.#isEnding || needs.exit(1), { once: true })
  }

  /** Something was thrown outside any call: nothing can be relied on any more. */
  crashed(error: unknown): void {
    if (this.#isEnding) return
    const folder = this.#order?.folder
    this.#log.critical('An exception was thrown outside any call; the service ends', { error })
    this.#report({ type: 'crashed', reason: whyOf(error, folder) })
    this.#end(1)
  }

  /** The node gives orders one after the other; what goes wrong with one is reported, never thrown. */
  #take(order: HostOrder): void {
    switch (order.type) {
      case 'load':
        void this.#load(order)
        break
      case 'initialize':
        void this.#initialize()
        break
      case 'describe':
        this.#describe()
        break
      case 'reconfigure':
        void this.#reconfigure(order)
        break
      case 'stop':
        void this.#stop()
        break
      case 'ping':
        this.#report({
          type: 'pong',
          ...this.#needs.usage(),
          metrics: this.#instance?.snapshot() ?? { counters: {}, gauges: {}, timers: {} },
        })
        break
    }
  }

  async #load(order: LoadOrder): Promise<void> {
    const { clock } = this.#needs
    this.#order = order
    this.#dispatch = new LocalDispatch({ clock, random: this.#needs.random, log: this.#log }, order.nodeId)
    const { translated } = order
    if (Object.keys(translated).length > 0) showSourceLines()
    const loader = createModuleLoader({
      sdkUrl: order.sdkUrl,
      translate(url) {
        const path = translated[fileURLToPath(url)]
        return path === undefined ? undefined : readFileSync(path, 'utf8')
      },
    })
    try {
      const limit = { limitMs: order.startTimeoutMs, what: 'loading', setting: 'startTimeoutMs' }
      const exports = await withinLimit(clock, loader.load(order.main, order.folder), limit)
      this.#source = sourceOfModule(exports, order.manifest, basename(order.folder))
      this.#report({ type: 'loaded', name: this.#source.name })
    } catch (error) {
      this.#failed(error, codeOf(error) !== 'P2P_SERVICE_START_FAILED')
    }
  }

  async #initialize(): Promise<void> {
    const source = this.#source
    if (!source || this.#instance) return
    const instance = this.#instanceOf(source)
    this.#instance = instance
    await instance.start(source)
    const { status, version, description, methods } = instance.describe()
    if (status === 'running') this.#report({ type: 'ready', version, description, methods })
    else if (instance.failure) this.#failed(instance.failure, codeOf(instance.failure) === 'P2P_SERVICE_LOAD_FAILED')
  }

  #describe(): void {
    const source = this.#source
    if (!source || this.#instance) return
    try {
      const methods = this.#instanceOf(source).methodsOf(source)
      this.#report({ type: 'ready', version: '', description: '', methods })
      this.#end(0)
    } catch (error) {
      this.#failed(error, true)
    }
  }

  async #reconfigure({ number, config, secrets }: ReconfigureOrder): Promise<void> {
    try {
      await this.#instance?.reconfigure({ config, secrets })
      this.#report({ type: 'reconfigured', number })
    } catch (error) {
      this.#report({ type: 'reconfigured', number, reason: messageWithPlace(error, this.#order?.folder) })
    }
  }

  #instanceOf(source: ServiceSource): ServiceInstance {
    const { clock, random } = this.#needs
    const order = this.#order as LoadOrder
    const { nodeId, role, folder, config, secrets, dataDirectory, callTimeoutMs, startTimeoutMs, stopTimeoutMs } = order
    const principal: Principal = { kind: 'node', nodeId, role, service: source.name }
    return new ServiceInstance(
      {
        clock,
        log: this.#log,
        dispatch: this.#dispatch as LocalDispatch,
        createProxy: (_name, runtime) =>
          createServiceProxy({ clock, random, caller: new LinkCaller(this.#link), callTimeoutMs }, principal, runtime),
        createEvents: () => this.#events,
        onChange: () => this.#reportHealth(),
      },
      source.name,
      { isBuiltin: false, folder, startTimeoutMs, stopTimeoutMs, config, secrets, dataDirectory },
    )
  }

  /** @throws {RpcError} P2P_RPC_METHOD_NOT_FOUND */
  #serve(method: string, params: RawJson | undefined, context: ServedContext, reply: Reply): ServedCall {
    const event = this.#events.serve(method, params, context, reply)
    if (event) return event
    const dispatch = this.#dispatch
    const found = dispatch?.find(method)
    if (!dispatch || !found) throw unknownMethod(method, [], 'this service')
    const { caller = { kind: 'anonymous' }, relayedBy, traceId, spanId, isOwnSpan, hops, deadlineMs } = context
    const [parentSpanId, ownSpanId] = isOwnSpan ? [undefined, spanId] : [spanId, undefined]
    const origin = { caller, relayedBy, traceId, parentSpanId, ownSpanId, hops, deadlineMs }
    const invocation = dispatch.start(found, params, origin, reply)
    return { cancel: (reason) => dispatch.cancel(invocation, reason) }
  }

  #reportHealth(): void {
    const { health, healthReason } = this.#instance?.describe() ?? {}
    if (health) this.#report({ type: 'health', health, reason: healthReason })
  }

  async #stop(): Promise<void> {
    await this.#instance?.stop()
    this.#report({ type: 'stopped' })
    this.#end(0)
  }

  #failed(error: unknown, isHopeless: boolean): void {
    const folder = this.#order?.folder as string
    this.#report({
      type: 'failed',
      reason: whyOf(error, folder),
      isHopeless,
      isUnparsable: error instanceof SyntaxError && placeOf(error, folder) === undefined,
    })
    this.#end(1)
  }

  #report(report: HostReport): void {
    if (this.#channel.closed.aborted) return
    try {
      this.#channel.sendControl(report)
    } catch {
      // The node does not read: it will notice by the heartbeat. A line of the log is not worth ending for.
    }
  }

  #end(code: number): void {
    this.#isEnding = true
    this.#channel.close()
    this.#needs.exit(code)
  }
}

/** What went wrong, where, and what to do about it when it is a permission. */
function whyOf(error: unknown, folder: string | undefined): string {
  const remedy = permissionRemedy(error)
  return `${messageWithPlace(error, folder)}${remedy === undefined ? '' : `. ${remedy}`}`
}
