import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { CliError, messageOf } from '../../base/errors.ts'
import { loadConfig, type NodeConfig } from '../../config/index.ts'
import type { NodeEvent } from '../../context/index.ts'
import { isServiceName, type ServiceHost, type ServiceState } from '../../service/index.ts'
import { requireFolder } from '../deploy/service-folder.ts'
import { DevScreen } from '../develop/dev-screen.ts'
import { linkProgram } from '../develop/link-program.ts'
import { Reloader } from '../develop/reloader.ts'
import { watchFolder } from '../develop/watch-folder.ts'
import type { CliHost } from '../host.ts'
import { nextFreePort } from '../local/free-port.ts'
import { callApi } from '../session/api-client.ts'
import { loginLink } from '../session/login-link.ts'
import { type Login, readLogin, removeLogin, writeLogin } from '../session/login-file.ts'
import { signIn } from '../session/sign-in.ts'
import type { ServiceDetails } from '../session/wire.ts'

const HOST = '127.0.0.1'
const PORT_FIRST = 8001
const NODE_ID = 'dev'
/** Login that is there while it runs: `p2p call … --profile dev`. */
const PROFILE = 'dev'
const DEBOUNCE_MS = 20
const METHODS_SHOWN_MAX = 8

type ReadyEvent = Extract<NodeEvent, { type: 'ready' }>

/** `p2p dev`: runs the service of a folder on a node of its own, and loads it anew at every save. @returns the exit code */
export async function dev(host: CliHost, directory: string | undefined, flags: { port?: number }): Promise<number> {
  const shown = directory ?? '.'
  requireFolder(host, shown)
  const folder = realpathSync(resolve(host.workingDirectory, shown))
  if (!['main.ts', 'main.js', 'manifest.json'].some((file) => existsSync(join(folder, file)))) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `There is no service in ${shown}: no main.ts, main.js or manifest.json; p2p init makes one`,
    )
  }
  linkProgram(folder)
  const config = await nodeConfig(folder, flags.port)
  const screen = new DevScreen(host, folder)
  const context = await host.loadContext()
  const interruption = host.interruption()
  const session = new DevSession(host, screen, folder)
  try {
    return await context.runNode({
      config,
      unlock: { kind: 'plot' },
      joinToken: undefined,
      cannotRestart: 'p2p dev runs the program it belongs to; install the new version with npm',
      signal: interruption.signal,
      onEvent: (event) => session.event(event),
      onLine: (line) => screen.line(line),
      onStarted: (services) => session.started(services),
    })
  } finally {
    await session.stop()
    interruption.dispose()
  }
}

/** Everything the node keeps is in `.p2p` of the folder; its one service is a link to the folder itself. */
async function nodeConfig(folder: string, port: number | undefined): Promise<NodeConfig> {
  const state = join(folder, '.p2p')
  const services = join(state, 'services')
  mkdirSync(services, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(services)) rmSync(join(services, name), { recursive: true, force: true })
  symlinkSync(folder, join(services, nameOfFolder(folder)), 'junction')
  return loadConfig({
    flags: {
      node_id: NODE_ID,
      coordinator_mode: true,
      bind_address: HOST,
      port: port ?? (await nextFreePort(PORT_FIRST, HOST, new Set())),
      challenge_port: 0,
      rate_limit_enabled: false,
      state_directory: join(state, 'node'),
      services_directory: services,
      plot_file: join(state, 'plot'),
    },
  })
}

/** What the service is called where its code does not say. */
function nameOfFolder(folder: string): string {
  return isServiceName(basename(folder)) ? basename(folder) : 'service'
}

/** From the moment the node answers to its stop. */
class DevSession {
  readonly #host: CliHost
  readonly #screen: DevScreen
  readonly #folder: string
  #ready: ReadyEvent | undefined
  #unwatch: (() => void) | undefined
  #reloader: Reloader | undefined
  #savedMs: number | undefined
  #login: Login | undefined
  #hasShownCalls = false
  #welcoming: Promise<void> | undefined

  constructor(host: CliHost, screen: DevScreen, folder: string) {
    this.#host = host
    this.#screen = screen
    this.#folder = folder
  }

  event(event: NodeEvent): void {
    if (event.type === 'progress' && event.fraction === undefined) this.#screen.say(event.text)
    if (event.type === 'ready') this.#ready = event
    if (event.type === 'stopping') this.#unwatch?.()
  }

  started(services: ServiceHost): void {
    const reloader = new Reloader(() => this.#reload(services), DEBOUNCE_MS)
    this.#reloader = reloader
    this.#unwatch = watchFolder(this.#folder, () => {
      this.#savedMs ??= this.#host.wallMs()
      reloader.ask()
    })
    const state = ownService(services)
    const reason = state?.instances.find((instance) => instance.state !== 'running')?.reason
    if (reason !== undefined) this.#screen.refused(reason, false)
    this.#welcoming = this.#welcome(state?.name ?? nameOfFolder(this.#folder)).catch((error: unknown) =>
      this.#screen.say(messageOf(error)),
    )
  }

  async stop(): Promise<void> {
    this.#unwatch?.()
    await this.#reloader?.stop()
    await this.#welcoming
    // Another `p2p dev` may have come since, and have its own.
    if (this.#login && readLogin(this.#host, PROFILE)?.url === this.#login.url) removeLogin(this.#host, PROFILE)
  }

  async #reload(services: ServiceHost): Promise<void> {
    const savedMs = this.#savedMs ?? this.#host.wallMs()
    this.#savedMs = undefined
    this.#screen.reloading()
    const name = ownService(services)?.name ?? nameOfFolder(this.#folder)
    const before = new Set(runningInstances(services))
    let answeredMs: number | undefined
    // The restart is over when the old instance has ended; the new one answers before.
    const unfollow = services.onChange(() => {
      if (runningInstances(services).some((id) => !before.has(id))) answeredMs ??= this.#host.wallMs()
    })
    try {
      await services.restart(name)
      const loaded = ownService(services)?.name ?? name
      this.#screen.reloaded(loaded, (answeredMs ?? this.#host.wallMs()) - savedMs)
      await this.#showCalls(loaded).catch((error: unknown) => this.#screen.say(messageOf(error)))
    } catch (error) {
      this.#screen.refused(messageOf(error), runningInstances(services).length > 0)
    } finally {
      unfollow()
    }
  }

  async #welcome(name: string): Promise<void> {
    const { url, operatorFile } = this.#ready ?? {}
    if (url === undefined || operatorFile === undefined) return
    this.#login = await signIn(this.#host, operatorFile)
    writeLogin(this.#host, PROFILE, this.#login)
    this.#screen.say(`
The node answers on ${url}; ${name} is loaded anew at every save. Ctrl-C stops both.
Dashboard (this link lets one browser in, within ten minutes): ${await loginLink(operatorFile)}`)
    await this.#showCalls(name)
  }

  /** How its methods are called; nothing while it has none, because it has not started yet. */
  async #showCalls(name: string): Promise<void> {
    if (!this.#login || this.#hasShownCalls) return
    const { url, ca_certificate: caCertificate, access_token: accessToken } = this.#login
    const request = { method: 'GET', path: `/services/${encodeURIComponent(name)}` } as const
    const details = (await callApi({ url, caCertificate, accessToken }, request)) as ServiceDetails
    const lines = details.method_details
      .filter((method) => method.name !== 'ping' && method.name !== 'get_service_info')
      .slice(0, METHODS_SHOWN_MAX)
      .map((method) => {
        const params = (method.params?.required ?? []).map((param) => ` --param ${param}=…`).join('')
        return `  p2p call ${details.info.name}/${method.name}${params} --profile ${PROFILE}\n`
      })
    if (lines.length === 0) return
    this.#hasShownCalls = true
    this.#screen.say(`Call it, in another terminal:\n${lines.join('')}`)
  }
}

/** The one that the folder holds. */
function ownService(services: ServiceHost): ServiceState | undefined {
  return services.states().find(({ origin }) => origin === 'folder')
}

function runningInstances(services: ServiceHost): string[] {
  const running = ownService(services)?.instances.filter(({ state }) => state === 'running')
  return running?.map(({ id }) => id) ?? []
}
