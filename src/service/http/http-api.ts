import type { Component } from '../../base/component.ts'
import { RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { FallbackHandler, UpgradeHandler } from '../../transport/index.ts'
import { createChangeFeed } from './change-feed.ts'
import { createGate } from './gate.ts'
import { createHealthRoute } from './health.ts'
import type { HttpApp } from './http-app.ts'
import type { HttpApiNeeds, HttpApiOptions, RouteNeeds } from './http-needs.ts'
import { loadHttpApp } from './load-http-app.ts'
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
 * transport's fast path; the rest, with its libraries (some 7 MB), is loaded when first asked for.
 */
export function createHttpApi(needs: HttpApiNeeds, options: HttpApiOptions, loadApp: LoadApp = loadHttpApp): Component {
  return new LazyHttpApi(needs, options, loadApp)
}

/** Loads what answers all but the fast path. */
type LoadApp = (needs: RouteNeeds) => Promise<HttpApp>

class LazyHttpApi implements Component {
  readonly name = 'http'
  readonly #needs: RouteNeeds
  readonly #log: Logger
  readonly #loadApp: LoadApp
  #app: HttpApp | undefined
  #loading: Promise<HttpApp> | undefined
  #sockets: Promise<DashboardSockets> | undefined
  #isStopped = false

  constructor(needs: HttpApiNeeds, options: HttpApiOptions, loadApp: LoadApp) {
    this.#loadApp = loadApp
    this.#log = needs.log.child('HTTP')
    this.#needs = {
      ...needs,
      ...options,
      log: this.#log,
      gate: createGate(needs),
      counts: createRequestCounts(),
      dashboards: { open: 0, cut: 0 },
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
    this.#loading ??= this.#loadApp(this.#needs)
    const loading = this.#loading
    try {
      this.#app = await loading
    } catch (error) {
      // Its files may be being replaced at this moment: the next request tries again. All that waited come here, the first one clears.
      if (this.#loading === loading) {
        this.#loading = undefined
        this.#log.error('The HTTP application could not be loaded; the next request tries again', { error })
      }
      const message =
        'This part of the node could not be loaded, and is tried again at the next request: its log says why'
      this.#refuse(new RpcError('P2P_HTTP_STARTING', message, { retry_after_s: 1 }), request, response)
      return
    }
    this.#app.handle(request, response)
  }

  #refuse(error: unknown, ...[request, response]: Parameters<FallbackHandler>): void {
    const path = (request.url ?? '').split('?', 1)[0] as string
    writeProblem(response, error, { path, traceId: traceIdOf(request.headers, this.#needs.random) })
  }
}
