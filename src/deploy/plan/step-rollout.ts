import type { NodeId } from '../../base/identity.ts'
import type { AssignmentReport } from '../model.ts'
import type { RolloutState } from '../../base/deployment.ts'
import { type Health, healthOf, healthyCount, restartCount } from './instance-health.ts'
import { type Rollout, type RolloutNode, waitingNode } from './rollout.ts'

/** A node has this long to fetch an artifact: 1 GiB at 1.2 MB/s. */
const FETCH_MS_MAX = 15 * 60_000
/** A change waits this long for the services it depends on. */
const HELD_MS_MAX = 10 * 60_000

export interface RolloutInput {
  /** Since the step before. */
  elapsedMs: number
  wallMs: number
  /** Where instances are to be. */
  target: ReadonlyMap<NodeId, number>
  wanted: number
  /** Why fewer than wanted have a place. */
  problems: readonly string[]
  /** Answers, and is not even suspected. */
  isUp(nodeId: NodeId): boolean
  report(nodeId: NodeId): AssignmentReport | undefined
  /** Why a node did not take its newest plan. */
  planFailure(nodeId: NodeId): string | undefined
  /** Why nothing of it may be started yet; undefined: it may. */
  heldBy: string | undefined
}

export interface RolloutStep {
  rollout: Rollout
  /** Another step is due after this time although nothing was reported. */
  nextMs: number | undefined
}

/** One step of a rollout: what the nodes say, and time, decide which nodes are given the new generation, and how it ends. */
export function stepRollout(before: Rollout, input: RolloutInput): RolloutStep {
  if (before.state !== 'running') return { rollout: before, nextMs: undefined }
  const rollout = structuredClone(before)
  const nextMs = new Step(rollout, input).run()
  return { rollout, nextMs }
}

/** A person ended it: it goes back as if it had failed, and may be tried again. */
export function cancelRollout(rollout: Rollout, reason: string, wallMs: number): Rollout {
  if (rollout.state !== 'running' || rollout.isReturning) return rollout
  const cancelled = structuredClone(rollout)
  // What cannot go back is stopped, not left half-way.
  goBack(cancelled, reason, cancelled.from === undefined, wallMs)
  return cancelled
}

function goBack(rollout: Rollout, reason: string, isBad: boolean, wallMs: number): void {
  rollout.reason = reason
  rollout.isBad = isBad
  delete rollout.heldMs
  if (rollout.from === undefined) end(rollout, 'failed', wallMs)
  else rollout.isReturning = true
}

function end(rollout: Rollout, state: RolloutState, wallMs: number): void {
  rollout.state = state
  rollout.endedAtMs = wallMs
}

class Step {
  readonly #rollout: Rollout
  readonly #input: RolloutInput

  constructor(rollout: Rollout, input: RolloutInput) {
    this.#rollout = rollout
    this.#input = input
  }

  run(): number | undefined {
    const { target, wanted } = this.#input
    const rollout = this.#rollout
    const known = new Map(rollout.nodes.map((node) => [node.nodeId, node]))
    rollout.nodes = [...target.keys()].sort().map((nodeId) => known.get(nodeId) ?? waitingNode(nodeId, undefined))
    rollout.wanted = wanted
    if (rollout.isReturning) this.#return()
    else this.#advance()
    rollout.done = rollout.nodes.reduce((sum, node) => sum + this.#doneOn(node), 0)
    return this.#nextMs()
  }

  #advance(): void {
    const rollout = this.#rollout
    if (this.#isHeld()) return
    const failure = this.#watch()
    if (failure !== undefined) {
      // Where nothing was started anew it was not the processes that failed.
      goBack(rollout, failure, !this.#isInPlace, this.#input.wallMs)
      return
    }
    const { update, nodes } = rollout
    const done = nodes.filter((node) => this.#isNew(node) && node.state === 'done').length
    if (update.kind === 'canary' && done >= Math.min(update.nodes, nodes.length)) rollout.hasCanaryPassed = true
    if (done === nodes.length) {
      end(rollout, 'succeeded', this.#input.wallMs)
      if (this.#input.problems.length > 0) rollout.reason = this.#input.problems.join(' ')
      return
    }
    if (this.#isAtOnce) {
      for (const node of nodes) if (!this.#isNew(node)) this.#give(node, rollout.to)
    } else {
      this.#giveInTurn()
      this.#coverLost()
    }
  }

  /** Whether nothing can be begun: no node suits, or something it depends on is not there. */
  #isHeld(): boolean {
    const rollout = this.#rollout
    const { target, problems, heldBy, elapsedMs, wallMs } = this.#input
    const hasPlace = target.size > 0 || problems.length === 0
    if (hasPlace && (heldBy === undefined || rollout.nodes.some((node) => this.#isNew(node)))) {
      delete rollout.heldMs
      delete rollout.reason
      return false
    }
    rollout.heldMs = rollout.heldMs === undefined ? 0 : rollout.heldMs + elapsedMs
    rollout.reason = hasPlace ? heldBy : problems.join(' ')
    if (rollout.heldMs >= this.#heldMsMax()) goBack(rollout, rollout.reason ?? 'nothing runs it', false, wallMs)
    return true
  }

  #heldMsMax(): number {
    return this.#input.problems.length > 0 && this.#input.target.size === 0 ? this.#rollout.deadlineMs : HELD_MS_MAX
  }

  /** Looks at every node that has the new generation. @returns what failed where; undefined: nothing */
  #watch(): string | undefined {
    for (const node of this.#rollout.nodes) {
      if (!this.#isNew(node)) continue
      const failure = this.#look(node)
      if (failure === undefined) continue
      node.state = 'failed'
      node.reason = failure
      return `${node.nodeId}: ${failure}`
    }
    return undefined
  }

  #look(node: RolloutNode): string | undefined {
    const { deadlineMs, toProcess, to } = this.#rollout
    const health = this.#observe(node, to, toProcess, this.#isInPlace ? undefined : node.restartsBefore)
    if (!health) return undefined
    switch (health.kind) {
      case 'good':
        node.wasHealthy = true
        node.state = node.healthyForMs >= this.#healthyMs() ? 'done' : 'watching'
        return undefined
      case 'fetching':
        node.state = 'fetching'
        if (node.fetchingMs < FETCH_MS_MAX) return undefined
        return `it did not get its plan and the artifact within ${seconds(FETCH_MS_MAX)}${because(health.reason)}`
      case 'bad':
        if (health.isFinal || (node.wasHealthy && !this.#isInPlace)) return health.reason
        break
      case 'starting':
        break
    }
    node.state = 'starting'
    if (node.pendingMs < deadlineMs) return undefined
    return `not healthy after ${seconds(deadlineMs)}${because(health.reason)}`
  }

  /** Keeps the node's times. @returns undefined while it is away */
  #observe(
    node: RolloutNode,
    generation: number,
    processGeneration: number,
    restartsMax: number | undefined,
  ): Health | undefined {
    if (!this.#input.isUp(node.nodeId)) {
      node.isAway = true
      node.healthyForMs = 0
      node.reason = 'it does not answer'
      if (node.state === 'done' || node.state === 'watching' || node.state === 'returned') node.state = 'starting'
      return undefined
    }
    const elapsedMs = node.isAway ? 0 : this.#input.elapsedMs
    node.isAway = false
    const instances = this.#input.target.get(node.nodeId) ?? 0
    const wanted = { generation, processGeneration, instances }
    const health = healthOf(this.#input.report(node.nodeId), wanted, this.#input.planFailure(node.nodeId), restartsMax)
    const isWatched = node.state === 'watching' || node.state === 'done'
    node.healthyForMs = health.kind === 'good' && isWatched ? node.healthyForMs + elapsedMs : 0
    if (health.kind === 'fetching') node.fetchingMs += elapsedMs
    else if (health.kind !== 'good') node.pendingMs += elapsedMs
    if (health.kind === 'good' || health.reason === undefined) delete node.reason
    else node.reason = health.reason
    return health
  }

  #giveInTurn(): void {
    const { update, to, nodes } = this.#rollout
    if (update.kind === 'all-at-once') return
    const isCanary = update.kind === 'canary' && !this.#rollout.hasCanaryPassed
    const width = isCanary ? update.nodes : update.batch
    const updated = nodes.filter((node) => this.#isNew(node))
    const busy = updated.filter(({ state }) => state !== 'done').length
    const waiting = nodes.filter((node) => !this.#isNew(node))
    const down = waiting.filter((node) => node.generation !== undefined && !this.#serves(node)).length
    let slots = isCanary ? width - updated.length : width - busy
    // A node that serves is taken only while fewer than a batch do not.
    let spare = width - busy - down
    for (const node of waiting.sort((a, b) => this.#turn(a) - this.#turn(b))) {
      if (slots <= 0) return
      if (!this.#input.isUp(node.nodeId) || this.#isUnknown(node)) continue
      if (this.#serves(node)) {
        if (spare <= 0) continue
        spare--
      }
      this.#give(node, to)
      slots--
    }
  }

  /** Nodes that were lost on the way are made good with the old generation, until the new one may have them. */
  #coverLost(): void {
    const { from, nodes, coveredNodes } = this.#rollout
    if (from === undefined) return
    let covered = nodes.filter(({ generation }) => generation !== undefined).length
    for (const node of nodes) {
      if (covered >= coveredNodes) return
      if (node.generation !== undefined) continue
      node.generation = from
      covered++
    }
  }

  #return(): void {
    const rollout = this.#rollout
    const from = rollout.from as number
    for (const node of rollout.nodes) if (node.generation !== from) this.#give(node, from)
    const touched = rollout.nodes.filter(({ isTouched }) => isTouched)
    for (const node of touched) {
      const { reason } = node
      const health = this.#observe(node, from, rollout.fromProcess as number, undefined)
      // Why it went back says more than how it comes back.
      if (reason !== undefined) node.reason = reason
      if (!health) continue
      if (health.kind === 'good') {
        node.state = 'returned'
      } else if (node.pendingMs >= rollout.deadlineMs || node.fetchingMs >= FETCH_MS_MAX) {
        node.state = 'failed'
        rollout.reason = `${rollout.reason}; then version ${rollout.fromVersion} did not come back on ${node.nodeId}${because(health.reason)}`
        end(rollout, 'failed', this.#input.wallMs)
        return
      }
    }
    if (touched.every(({ state }) => state === 'returned')) end(rollout, 'rolled-back', this.#input.wallMs)
  }

  #give(node: RolloutNode, generation: number): void {
    node.generation = generation
    node.isTouched = true
    if (node.state !== 'failed') node.state = 'starting'
    node.wasHealthy = false
    node.pendingMs = 0
    node.fetchingMs = 0
    node.healthyForMs = 0
    node.restartsBefore = restartCount(this.#input.report(node.nodeId), this.#rollout.toProcess)
  }

  #isNew({ generation }: RolloutNode): boolean {
    return generation === this.#rollout.to
  }

  /** Nothing is started anew. */
  get #isInPlace(): boolean {
    return this.#rollout.toProcess === this.#rollout.fromProcess
  }

  /** There is nothing that could be interrupted, or it was asked for. */
  get #isAtOnce(): boolean {
    return this.#rollout.update.kind === 'all-at-once' || this.#rollout.from === undefined || this.#isInPlace
  }

  #healthyMs(): number {
    const { update, healthyMs, hasCanaryPassed } = this.#rollout
    const isWatched = update.kind === 'canary' && !hasCanaryPassed && !this.#isAtOnce
    return isWatched ? Math.max(healthyMs, update.watchMs) : healthyMs
  }

  #serves(node: RolloutNode): boolean {
    const input = this.#input
    if (node.generation === undefined || !input.isUp(node.nodeId)) return false
    return healthyCount(input.report(node.nodeId), undefined) >= (input.target.get(node.nodeId) ?? 0)
  }

  /**
   * Whether nothing is known yet of what it runs (the coordinator has just started): it may serve, and is not taken for one that
   * does not. One that never says anything is known to be useless after the deadline.
   */
  #isUnknown(node: RolloutNode): boolean {
    if (node.generation === undefined || this.#input.report(node.nodeId)) return false
    node.pendingMs += this.#input.elapsedMs
    return node.pendingMs < this.#rollout.deadlineMs
  }

  /** Who loses least goes first: nodes with nothing, nodes that do not serve, nodes with what a superseded change left. */
  #turn(node: RolloutNode): number {
    if (node.generation === undefined) return 0
    if (!this.#serves(node)) return 1
    return node.generation === this.#rollout.from ? 3 : 2
  }

  #doneOn(node: RolloutNode): number {
    const report = this.#input.report(node.nodeId)
    if (!this.#isNew(node) || !this.#input.isUp(node.nodeId) || report?.generation !== this.#rollout.to) return 0
    return Math.min(healthyCount(report, this.#rollout.toProcess), this.#input.target.get(node.nodeId) ?? 0)
  }

  #nextMs(): number | undefined {
    const { state, heldMs, nodes, deadlineMs } = this.#rollout
    if (state !== 'running') return undefined
    const dueMs = heldMs === undefined ? [] : [this.#heldMsMax() - heldMs]
    for (const node of nodes) {
      if (node.isAway || (!node.isTouched && node.pendingMs === 0)) continue
      if (node.state === 'watching') dueMs.push(this.#healthyMs() - node.healthyForMs)
      else if (node.state === 'fetching') dueMs.push(FETCH_MS_MAX - node.fetchingMs)
      else if (node.state !== 'done' && node.state !== 'returned') dueMs.push(deadlineMs - node.pendingMs)
    }
    return dueMs.length > 0 ? Math.max(0, Math.min(...dueMs)) : undefined
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`
}

function because(reason: string | undefined): string {
  return reason === undefined ? '' : `: ${reason}`
}
