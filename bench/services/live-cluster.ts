import { join } from 'node:path'
import { type DeploymentStatus, ended, send, statusOf, upload } from '../../test/e2e/support/deployments.ts'
import { type NodeApi, signIn } from '../../test/e2e/support/node-api.ts'
import {
  type Cleanup,
  freePort,
  type Home,
  makeHome,
  type NodeProcess,
  startNode,
} from '../../test/e2e/support/node-process.ts'

/** A coordinator and workers: the built program, a process each. */
export const COORDINATOR = 'c1'

/** What a service's folder holds. */
export type ServiceFiles = Record<string, string | object>

export interface LiveClusterOptions {
  workers: readonly string[]
  /** Another installation's `p2p`. */
  command?: string | undefined
}

/** A cluster of real nodes; each is started again when it was killed, as an init system would do it. */
export class LiveCluster {
  readonly home: Home
  readonly #cleanup: Cleanup
  readonly #options: LiveClusterOptions
  readonly #files = new Map<string, string>()
  readonly #nodes = new Map<string, NodeProcess>()
  #api: NodeApi | undefined
  #isEnding = false

  /** @param cleanup ends the nodes and removes their files */
  constructor(cleanup: Cleanup, options: LiveClusterOptions) {
    this.home = makeHome(cleanup)
    this.#cleanup = cleanup
    this.#options = options
    cleanup.after(() => {
      this.#isEnding = true
    })
  }

  /** As the operator, at the coordinator. */
  get api(): NodeApi {
    if (!this.#api) throw new Error('the cluster was not started')
    return this.#api
  }

  async start(): Promise<void> {
    const port = await freePort()
    const common = { bind_address: '127.0.0.1', rate_limit_enabled: false }
    this.#files.set(COORDINATOR, this.home.config(COORDINATOR, { ...common, port, coordinator_mode: true }))
    for (const name of this.#options.workers) {
      const own = { port: await freePort(), coordinator_addresses: [`127.0.0.1:${port}`] }
      this.#files.set(name, this.home.config(name, { ...common, ...own }))
    }
    const { url, operatorFile } = await this.#run(COORDINATOR).ready()
    this.#api = { ...(await signIn(url, operatorFile as string)), url }
    await Promise.all(this.#options.workers.map((name) => this.#run(name).ready()))
  }

  /** Of the node's present process. */
  pid(name: string): number {
    return (this.#nodes.get(name) as NodeProcess).pid
  }

  /** Where the node keeps what is its own. */
  stateOf(name: string): string {
    return join(this.home.directory, 'data', name)
  }

  /** Brings a bundle of these files to the coordinator and deploys it; what `body` does not say stays as it is. */
  async deploy(service: string, files: ServiceFiles, body: object = {}): Promise<void> {
    const artifact = await upload(this.api, join(this.home.directory, service), files)
    await send(this.api, 'PUT', `/api/deployments/${service}`, { ...body, artifact })
  }

  status(service: string): Promise<DeploymentStatus> {
    return statusOf(this.api, service)
  }

  /** Waits for the end of the service's rollout. @throws when it did not succeed */
  async rolledOut(service: string): Promise<void> {
    const { state, reason } = await ended(this.api, service)
    if (state !== 'succeeded') throw new Error(`the rollout of ${service} has ${state}: ${reason}`)
  }

  #run(name: string): NodeProcess {
    const { command } = this.#options
    const node = startNode(this.#cleanup, this.#files.get(name) as string, command === undefined ? {} : { command })
    this.#nodes.set(name, node)
    void node.exited.then(() => this.#isEnding || this.#run(name))
    return node
  }
}
