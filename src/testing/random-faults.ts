import type { NodeId } from '../base/identity.ts'
import { randomInt, shuffle } from '../base/random.ts'
import type { SimulatedCluster } from './simulated-cluster.ts'
import { LAN_CONDITIONS } from './simulated-network.ts'

/** A fault begins this long after the last one began, on average. */
const PAUSE_MS = 10_000
const LOSS_RATIO_MAX = 0.25
const REFUSAL_RATIO_MAX = 0.2
const RESET_RATIO_MAX = 0.5
const CLOCK_JUMP_MS_MAX = 3_600_000
const DELAY_MS_MAX = 150

/**
 * Lets everything go wrong that can, for `durationMs`: processes die, hang, starve and leave, machines vanish, links fail in
 * one or both directions, packets are late or lost, connections reset, clocks are set. Then all faults end; the coordinator and about
 * every other node that is down come back. The cluster's invariants are checked throughout.
 * @returns what was done, for the message of a failing test
 */
export async function injectRandomFaults(cluster: SimulatedCluster, durationMs: number): Promise<string[]> {
  const faults = new RandomFaults(cluster)
  const endMs = cluster.clock.nowMs() + durationMs
  while (cluster.clock.nowMs() < endMs) {
    await faults.injectOne()
    await cluster.run(cluster.random.float() * 2 * PAUSE_MS)
  }
  faults.endAll()
  return faults.history
}

class RandomFaults {
  readonly history: string[] = []
  readonly #cluster: SimulatedCluster

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster
  }

  async injectOne(): Promise<void> {
    const faults: (() => void | Promise<void>)[] = [
      () => this.#kill(),
      () => this.#crash(),
      () => this.#leave(),
      () => this.#boot(),
      () => this.#stop(),
      () => this.#starve(),
      () => this.#partition(),
      () => this.#blockOneWay(),
      () => this.#worsenNetwork(),
      () => this.#reset(),
      () => this.#setClock(),
      () => this.#changeRecord(),
    ]
    await faults[randomInt(this.#cluster.random, faults.length)]?.()
  }

  endAll(): void {
    const cluster = this.#cluster
    this.#note('all faults end')
    for (const nodeId of cluster.nodeIds) cluster.resume(nodeId)
    cluster.heal()
    Object.assign(cluster.network.conditions, LAN_CONDITIONS)
    // Who has forgotten everything finds the others through the coordinator, so that one is up in the end.
    for (const nodeId of this.#down()) if (nodeId === 'n0' || cluster.random.float() < 0.5) cluster.boot(nodeId)
  }

  #kill(): void {
    const nodeId = this.#someoneToLose()
    if (nodeId && this.#note(`kill ${nodeId}`)) this.#cluster.kill(nodeId)
  }

  #crash(): void {
    const nodeId = this.#someoneToLose()
    if (nodeId && this.#note(`crash ${nodeId}`)) this.#cluster.crash(nodeId)
  }

  async #leave(): Promise<void> {
    const nodeId = this.#someoneToLose()
    if (nodeId && this.#note(`leave ${nodeId}`)) await this.#cluster.leave(nodeId)
  }

  #boot(): void {
    const nodeId = this.#oneOf(this.#down())
    if (nodeId && this.#note(`boot ${nodeId}`)) this.#cluster.boot(nodeId)
  }

  #stop(): void {
    const nodeId = this.#oneOf(this.#cluster.running)
    if (!nodeId) return
    const forMs = 1_000 + this.#cluster.random.float() * 25_000
    this.#note(`stop ${nodeId} for ${Math.round(forMs)} ms`)
    this.#cluster.stop(nodeId)
    this.#cluster.clock.after(forMs, () => this.#cluster.resume(nodeId))
  }

  #starve(): void {
    const nodeId = this.#oneOf(this.#cluster.running)
    if (!nodeId) return
    const { random, clock } = this.#cluster
    const turns = { runMs: 20 + random.float() * 200, hangMs: 100 + random.float() * 2_000 }
    const forMs = 5_000 + random.float() * 30_000
    this.#note(`starve ${nodeId} for ${Math.round(forMs)} ms, ${JSON.stringify(turns)}`)
    this.#cluster.starve(nodeId, turns)
    clock.after(forMs, () => this.#cluster.resume(nodeId))
  }

  #partition(): void {
    const nodeIds = shuffle(this.#cluster.random, [...this.#cluster.nodeIds])
    const cut = 1 + randomInt(this.#cluster.random, nodeIds.length - 1)
    const group = nodeIds.slice(0, cut)
    this.#note(`partition ${group.join(' ')} from the others`)
    this.#cluster.partition([group, nodeIds.slice(cut)])
    this.#healLater()
  }

  #blockOneWay(): void {
    const [from, to] = shuffle(this.#cluster.random, [...this.#cluster.nodeIds])
    if (!from || !to) return
    this.#note(`block ${from} to ${to}`)
    this.#cluster.block(from, to)
    this.#healLater()
  }

  #healLater(): void {
    this.#cluster.clock.after(5_000 + this.#cluster.random.float() * 60_000, () => {
      this.#note('heal')
      this.#cluster.heal()
    })
  }

  #worsenNetwork(): void {
    const { random, network } = this.#cluster
    const conditions = {
      lossRatio: random.float() * LOSS_RATIO_MAX,
      refusalRatio: random.float() * REFUSAL_RATIO_MAX,
      delayMsMax: LAN_CONDITIONS.delayMsMax + random.float() * DELAY_MS_MAX,
    }
    this.#note(`the network gets worse: ${JSON.stringify(conditions)}`)
    Object.assign(network.conditions, conditions)
  }

  #reset(): void {
    const ratio = this.#cluster.random.float() * RESET_RATIO_MAX
    this.#note(`reset ${(ratio * 100).toFixed(0)} % of the channels`)
    this.#cluster.network.resetSome(ratio)
  }

  #setClock(): void {
    const nodeId = this.#oneOf(this.#cluster.nodeIds)
    if (!nodeId) return
    const byMs = (this.#cluster.random.float() * 2 - 1) * CLOCK_JUMP_MS_MAX
    this.#note(`set the clock of ${nodeId} by ${Math.round(byMs)} ms`)
    this.#cluster.network.nodeOf(nodeId).host.jumpWall(byMs)
  }

  #changeRecord(): void {
    const nodeId = this.#oneOf(this.#cluster.running)
    if (!nodeId) return
    this.#note(`change the record of ${nodeId}`)
    this.#cluster.gossip(nodeId).update({ labels: { changed: String(Math.round(this.#cluster.clock.nowMs())) } })
  }

  /** Half of the nodes stay up. */
  #someoneToLose(): NodeId | undefined {
    const { running, nodeIds } = this.#cluster
    return running.length * 2 > nodeIds.length ? this.#oneOf(running) : undefined
  }

  #down(): NodeId[] {
    return this.#cluster.nodeIds.filter((nodeId) => {
      const { state } = this.#cluster.network.nodeOf(nodeId).host
      return state === 'killed' || state === 'silent'
    })
  }

  #oneOf(nodeIds: readonly NodeId[]): NodeId | undefined {
    return nodeIds[randomInt(this.#cluster.random, nodeIds.length)]
  }

  #note(what: string): true {
    this.history.push(`${(this.#cluster.clock.nowMs() / 1_000).toFixed(1)} s: ${what}`)
    return true
  }
}
