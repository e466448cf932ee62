import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { RealCluster, Sight, Sighting } from './cluster.ts'

const SIGHTS: Readonly<Record<string, Sight>> = {
  EventMemberJoin: 'joined',
  EventMemberFailed: 'failed',
  EventMemberUpdate: 'changed',
}
/** Between two agents, so that they do not all join at once. */
const STAGGER_MS = 100
const START_MS_MAX = 60_000

export function isSerfInstalled(): boolean {
  return spawnSync('serf', ['version'], { stdio: 'ignore' }).status === 0
}

/** Agents of HashiCorp's serf in its LAN profile. What they see they write to their log. */
export function createSerfCluster(ports: readonly number[], rpcPorts: readonly number[]): RealCluster {
  return new SerfCluster(ports, rpcPorts)
}

class SerfCluster implements RealCluster {
  readonly label = 'serf'
  readonly names: string[]
  readonly ports: readonly number[]
  readonly #rpcPorts: readonly number[]
  readonly #agents = new Map<string, ChildProcess>()
  readonly #known = new Map<string, Set<string>>()
  readonly #listeners = new Set<(sighting: Sighting) => void>()
  #changes = 0

  constructor(ports: readonly number[], rpcPorts: readonly number[]) {
    this.ports = ports
    this.#rpcPorts = rpcPorts
    this.names = ports.map((_, index) => `s${index + 1}`)
  }

  pid(name: string): number {
    return this.#agents.get(name)?.pid as number
  }

  async start(): Promise<void> {
    const isWhole = new Promise<void>((resolve) => {
      this.onSight(() => {
        const whole = this.names.filter((name) => this.#known.get(name)?.size === this.names.length)
        if (whole.length === this.names.length) resolve()
      })
    })
    for (const name of this.names) {
      await this.restart(name)
      await new Promise((next) => setTimeout(next, STAGGER_MS))
    }
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error('serf: the agents did not find each other')), START_MS_MAX).unref()
    })
    await Promise.race([isWhole, late])
    this.#listeners.clear()
  }

  onSight(listener: (sighting: Sighting) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async restart(name: string): Promise<void> {
    const index = this.names.indexOf(name)
    const agent = spawn(
      'serf',
      [
        'agent',
        `-node=${name}`,
        `-bind=127.0.0.1:${this.ports[index]}`,
        `-rpc-addr=127.0.0.1:${this.#rpcPorts[index]}`,
        '-profile=lan',
        '-log-level=info',
        ...(index === 0 ? [] : [`-join=127.0.0.1:${this.ports[0]}`]),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    this.#agents.set(name, agent)
    this.#known.set(name, new Set())
    createInterface(agent.stdout).on('line', (line) => this.#onLine(name, line))
    await once(agent, 'spawn')
  }

  async change(name: string): Promise<void> {
    const rpcPort = this.#rpcPorts[this.names.indexOf(name)]
    execFileSync('serf', ['tags', `-rpc-addr=127.0.0.1:${rpcPort}`, '-set', `n=${++this.#changes}`])
  }

  stopWatching(): void {}

  async watchAgain(): Promise<void> {}

  async bytesSent(): Promise<undefined> {
    return undefined
  }

  async stop(): Promise<void> {
    for (const agent of this.#agents.values()) {
      if (agent.exitCode !== null || agent.signalCode !== null) continue
      const exited = once(agent, 'exit')
      agent.kill('SIGKILL')
      await exited
    }
  }

  /** `… [INFO] serf: EventMemberFailed: s3 127.0.0.1` */
  #onLine(observer: string, line: string): void {
    const [, event = '', subject = ''] = /serf: (EventMember\w+): (\S+)/.exec(line) ?? []
    const sight = SIGHTS[event]
    if (!sight) return
    if (sight === 'joined') this.#known.get(observer)?.add(subject)
    const sighting = { observer, subject, sight, atMs: performance.now() }
    for (const listener of this.#listeners) listener(sighting)
  }
}
