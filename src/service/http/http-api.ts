import type { Component } from '../../base/component.ts'
import { RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { FallbackHandler, UpgradeHandler } from '../../transport/index.ts'
import { createChangeFeed } from './change-feed.ts'
import { createGate } from './gate.ts'
import { createHealthRoute } from './health.ts'
import type { HttpApp } from './http-app.ts'
import type { HttpApiNeeds, HttpApiOptions, RouteNeeds } from './http-needs.ts'
import { writeProblem } from './problem.ts'
import { createMemberFeed } from './member-feed.ts'
import { createRequestCounts } from './request-counts.ts'
import { createRpcRoute } from './rpc-route.ts'
import { traceIdOf } from './trace.ts'
import { createWatcherSlots } from './watcher-slots.ts'
import type { DashboardSockets } from './websocket/dashboard-sockets.ts'

/**
 * The HTTP surface of a node: every path of its port but the peers' channel. It has no socket of its own; from `start`
 * on the transport's requests come here. `POST /rpc` and `GET /health` are answered on the
 * transport's fast path; the rest, with its libraries (some 40 MB), is loaded when first asked for.
 */
export function createHttpApi(needs: HttpApiNeeds, options: HttpApiOptions): Component {
  return new LazyHttpApi(needs, options)
}

class LazyHttpApi implements Component {
  readonly name = 'http'
  readonly #needs: RouteNeeds
  readonly #log: Logger
  #app: HttpApp | undefined
  #loading: Promise<HttpApp> | undefined
  #sockets: Promise<DashboardSockets> | undefined
  #isStopped = false

  constructor(needs: HttpApiNeeds, options: HttpApiOptions) {
    this.#log = needs.log.child('HTTP')
    this.#needs = {
      ...needs,
      ...options,
      log: this.#log,
      gate: createGate(needs),
      counts: createRequestCounts(),
      feed: createMemberFeed(needs),
      watchers: createWatcherSlots(),
      deploymentFeed: undefined,
    }
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { transport, membership, feed, clock, deployments } = this.#needs
    feed.start()
    if (deployments) this.#needs.deploymentFeed = createChangeFeed({ clock, stopped: feed.stopped }, deployments)
    const nodeId = (): string => membership.self().record.nodeId
    transport.route('POST', '/rpc', createRpcRoute(this.#needs))
    const health = createHealthRoute({ ...this.#needs, nodeId })
    transport.route('GET', '/health', health)
    transport.route('HEAD', '/health', health)
    transport.fallback(this.#onRequest)
    transport.onUpgrade(this.#onUpgrade)
  }

  /** From here on requests get 503; who waits for changes is answered; answers under way go on, the transport waits for them. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#needs.feed.stop()
    const sockets = await this.#sockets
    sockets?.stop()
    const app = await this.#loading?.catch(() => undefined)
    await app?.close()
  }

  readonly #onRequest: FallbackHandler = (request, response) => {
    if (this.#isStopped) this.#refuse(new RpcError('P2P_HTTP_STOPPING', 'The node is stopping'), request, response)
    else if (this.#app) this.#app.handle(request, response)
    else void this.#load(request, response)
  }

  readonly #onUpgrade: UpgradeHandler = (request, socket, head) => void this.#upgrade(request, socket, head)

  /** Never rejects. */
  async #upgrade(...[request, socket, head]: Parameters<UpgradeHandler>): Promise<void> {
    try {
      this.#sockets ??= import('./websocket/dashboard-sockets.ts').then(
        ({ DashboardSockets }) => new DashboardSockets(this.#needs),
      )
      await (await this.#sockets).upgrade(request, socket, head)
    } catch (error) {
      this.#log.error('The WebSocket could not be opened', { error })
      socket.destroy()
    }
  }

  async #load(...[request, response]: Parameters<FallbackHandler>): Promise<void> {
    try {
      this.#loading ??= import('./http-app.ts').then(({ createHttpApp }) => createHttpApp(this.#needs))
      this.#app = await this.#loading
      this.#app.handle(request, response)
    } catch (error) {
      // Its files may be being replaced at this moment: the next request tries again.
      this.#loading = undefined
      this.#log.error('The HTTP application could not be loaded', { error })
      this.#refuse(error, request, response)
    }
  }

  #refuse(error: unknown, ...[request, response]: Parameters<FallbackHandler>): void {
    const path = (request.url ?? '').split('?', 1)[0] as string
    writeProblem(response, error, { path, traceId: traceIdOf(request.headers, this.#needs.random) })
  }
}
