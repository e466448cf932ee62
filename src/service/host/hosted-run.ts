import type { Clock } from '../../base/time.ts'
import { messageOf, RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { NodeIdentity, Principal } from '../../base/identity.ts'
import type { ServiceMetricsSnapshot } from '../definition/descriptor.ts'
import type { EventHub } from '../events/event-hub.ts'
import { ProcessEvents } from '../events/process-events.ts'
import { forwardCall } from '../calls/forward-call.ts'
import { type CallLink, createCallLink, type Reply, type ServedCall, type ServedContext } from '../link/call-link.ts'
import { messageWithPlace } from '../definition/module-loader.ts'
import type { RawJson } from '../calls/raw-json.ts'
import type { OwnCaller } from '../calls/router.ts'
import type { MethodCall } from '../sdk/method.ts'
import { syntaxErrorOf } from '../definition/translate.ts'
import { CallCounter } from './call-counter.ts'
import type { HostChannel } from './host-channel.ts'
import type { HostReport, LoadOrder, PongReport, Settings } from './host-message.ts'
import { parseReport } from './parse-report.ts'
import { endOf, type RunEnd, type RunEvents, type RunOrder, type RunUsage, type ServiceRun } from './run.ts'
import type { ServiceLog } from './service-log.ts'

/** A process or thread that has been begun and whose host will take orders over the channel. */
export interface LaunchedHost {
  readonly channel: HostChannel
  readonly pid: number | undefined
  /** Resolves when nothing of it is left. Never rejects. */
  readonly ended: Promise<RunEnd>
  /** Undefined where only the host itself can tell. */
  usage(): Promise<RunUsage | undefined>
  kill(): void
}

export interface HostHandlers {
  onCall(payload: Uint8Array): void
  onControl(message: unknown): void
}

export interface HostedRunNeeds {
  clock: Clock
  log: Logger
  identity: NodeIdentity
  /** Runs the calls that the service makes. */
  caller: OwnCaller
  hub: EventHub
  /** Of this instance. */
  serviceLog: ServiceLog
  prepare(): Promise<LoadOrder>
  launch(handlers: HostHandlers): LaunchedHost | Promise<LaunchedHost>
}

/** A service behind a link: in a process, or in a thread. */
export class HostedRun implements ServiceRun {
  readonly #needs: HostedRunNeeds
  readonly #order: RunOrder
  readonly #events: RunEvents
  readonly #calls = new CallCounter()
  #host: LaunchedHost | undefined
  #link: CallLink | undefined
  #hears: ProcessEvents | undefined
  #name: string | undefined
  #principal: Principal | undefined
  #pong: PongReport | undefined
  #pings: (() => void)[] = []
  /** Settings that were given and not answered yet, by their numbers. */
  readonly #given = new Map<number, PromiseWithResolvers<void>>()
  #givenCount = 0
  /** What the host itself said of its end. */
  #lastWord: RunEnd | undefined
  #isUnparsable = false
  #wantsEnd = false
  #wantsKill = false

  readonly ports: Readonly<Record<string, number>>

  constructor(needs: HostedRunNeeds, order: RunOrder, events: RunEvents) {
    this.#needs = needs
    this.#order = order
    this.#events = events
    this.ports = order.spec.manifest.ports ?? {}
    void this.#run()
  }

  get pid(): number | undefined {
    return this.#host?.pid
  }

  get callsUnderWay(): number {
    return this.#calls.count
  }

  forward(method: string, params: unknown, call: MethodCall, reply: Reply): void {
    const link = this.#link
    if (!link) throw new RpcError('P2P_RPC_NO_INSTANCE', `${this.#order.id} does not run`, { method })
    forwardCall(link, method, params, call, this.#calls.begin(reply))
  }

  idle(): Promise<void> {
    return this.#calls.idle()
  }

  ping(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      this.#pings.push(resolve)
      this.#tell({ type: 'ping' })
    })
  }

  /** The host keeps the time, and answers always, unless it ends. */
  reconfigure(settings: Settings): Promise<void> {
    const number = ++this.#givenCount
    const answer = Promise.withResolvers<void>()
    this.#given.set(number, answer)
    this.#tell({ type: 'reconfigure', number, ...settings })
    return answer.promise
  }

  metrics(): ServiceMetricsSnapshot | undefined {
    return this.#pong?.metrics
  }

  async usage(): Promise<RunUsage | undefined> {
    return (await this.#host?.usage()) ?? this.#pong
  }

  end(): void {
    this.#wantsEnd = true
    this.#tell({ type: 'stop' })
  }

  kill(): void {
    this.#wantsKill = true
    this.#host?.kill()
  }

  /** From the preparation to the end. Never rejects. */
  async #run(): Promise<void> {
    let end: RunEnd
    try {
      end = await this.#live()
    } catch (error) {
      end = endOf(error)
    }
    for (const { reject } of this.#given.values()) reject(new Error(end.reason))
    this.#given.clear()
    this.#events.ended(end)
  }

  async #live(): Promise<RunEnd> {
    const order = await this.#needs.prepare()
    const stopped: RunEnd = { cause: 'killed', reason: 'it was stopped before it began' }
    if (this.#wantsEnd || this.#wantsKill) return stopped
    const host = await this.#needs.launch({
      onCall: (payload) => this.#link?.receive(payload),
      onControl: (message) => this.#takeReport(message),
    })
    this.#host = host
    const { clock, log } = this.#needs
    this.#link = createCallLink({
      clock,
      log,
      channel: host.channel,
      serve: (method, params, context, reply) => this.#serve(method, params, context, reply),
    })
    if (this.#wantsKill) host.kill()
    this.#tell(order)
    if (this.#wantsEnd) this.#tell({ type: 'stop' })
    const end = await host.ended
    this.#hears?.close()
    // Before the reason is told, calls that wait have to fail.
    host.channel.ended(end.reason)
    const found = this.#isUnparsable ? await syntaxErrorOf(order.main) : undefined
    if (found !== undefined) return { cause: 'hopeless', reason: messageWithPlace(found, order.folder) }
    return this.#lastWord ?? end
  }

  #takeReport(message: unknown): void {
    const report = parseReport(message)
    if (report) this.#take(report)
    else this.#needs.log.debug('A service sent what is no report', { instance: this.#order.id })
  }

  #take(report: HostReport): void {
    switch (report.type) {
      case 'loaded':
        this.#begin(report.name)
        break
      case 'ready':
        this.#events.ready(report)
        break
      case 'failed':
        this.#lastWord = { cause: report.isHopeless ? 'hopeless' : 'fault', reason: report.reason }
        this.#isUnparsable = report.isUnparsable
        break
      case 'reconfigured':
        this.#settle(report)
        break
      case 'health':
        this.#events.health(report.health, report.reason)
        break
      case 'log':
        this.#needs.serviceLog.write(report.level, report.message, {
          ...(report.traceId !== undefined && { traceId: report.traceId }),
          ...report.fields,
        })
        break
      case 'pong':
        this.#pong = report
        for (const answer of this.#pings.splice(0)) answer()
        break
      case 'crashed':
        this.#lastWord = { cause: 'fault', reason: report.reason }
        break
      case 'stopped':
        break
    }
  }

  #settle({ number, reason }: Extract<HostReport, { type: 'reconfigured' }>): void {
    const answer = this.#given.get(number)
    this.#given.delete(number)
    if (reason === undefined) answer?.resolve()
    else answer?.reject(new Error(reason))
  }

  #begin(name: string): void {
    if (this.#name !== undefined) return
    this.#name = name
    try {
      this.#events.loaded(name)
      this.#tell({ type: this.#order.isOnlyDescribed ? 'describe' : 'initialize' })
    } catch (error) {
      this.#lastWord = { cause: 'hopeless', reason: messageOf(error) }
      this.#tell({ type: 'stop' })
    }
  }

  /** What the service calls, in its own name: whatever it writes over the link, it is this service on this node. */
  #serve(method: string, params: RawJson | undefined, context: ServedContext, reply: Reply): ServedCall {
    const { clock, hub } = this.#needs
    const link = this.#link as CallLink
    this.#hears ??= new ProcessEvents({ hub, clock, link }, this.#name ?? this.#order.spec.name)
    const served = this.#hears.serve(method, params, context, reply)
    if (served) return served
    this.#principal ??= this.#ownPrincipal()
    return this.#needs.caller.startOwn(method, params, context, this.#principal, reply)
  }

  #ownPrincipal(): Principal {
    const { nodeId, role } = this.#needs.identity
    return { kind: 'node', nodeId, role, service: this.#name ?? this.#order.spec.name }
  }

  #tell(order: object): void {
    const channel = this.#host?.channel
    if (!channel || channel.closed.aborted) return
    try {
      channel.sendControl(order)
    } catch (error) {
      this.#needs.log.warning('A service does not read what it is told', {
        instance: this.#order.id,
        reason: messageOf(error),
      })
    }
  }
}
