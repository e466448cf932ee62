import { createHash } from 'node:crypto'
import type { NodeId } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { Delivery } from '../delivery.ts'
import type { NodePlan } from '../model.ts'
import { PLAN_BYTES_MAX, type SignedPlan, signPlan } from '../signed-plan.ts'
import type { NodeSigner } from '../node-signature.ts'
import type { DesiredState } from './desired-state.ts'

export interface PlanGiverNeeds {
  clock: Clock
  random: Random
  log: Logger
  state: DesiredState
  signer: NodeSigner
  isPresent(nodeId: NodeId): boolean
  /** Calls the node's agent. @throws {P2PError} */
  give(nodeId: NodeId, signed: SignedPlan, signal: AbortSignal): Promise<void>
  /** What {@link PlanGiver.failure} tells has changed. */
  onFailure(): void
}

/** A node's plan without its number. */
export type PlanContent = Omit<NodePlan, 'revision'>

/** Brings every node its newest plan, signed; a plan's revision is durable before the plan is given away. */
export class PlanGiver {
  readonly #needs: PlanGiverNeeds
  readonly #newest = new Map<NodeId, NodePlan>()
  readonly #deliveries = new Map<NodeId, Delivery>()
  /** Nodes that should have got their plan when it was not made yet (this coordinator has just started), or they were away. */
  readonly #passedOver = new Set<NodeId>()

  constructor(needs: PlanGiverNeeds) {
    this.#needs = needs
  }

  /** This is the node's plan now: it is given to the node if it is new. */
  async set(content: PlanContent): Promise<void> {
    const { state, log } = this.#needs
    const { nodeId } = content
    const text = JSON.stringify(content)
    if (text.length > PLAN_BYTES_MAX) {
      const fields = { node: nodeId, bytes: text.length, limit: PLAN_BYTES_MAX }
      log.error(
        'The plan of a node is too large and is not given to it: deploy fewer services or shorter configurations',
        fields,
      )
      return
    }
    const digest = createHash('sha256').update(text).digest('hex')
    const given = state.given(nodeId)
    if (!given && content.assignments.length === 0 && !content.isDraining) return
    const isNew = given?.digest !== digest
    const revision = isNew ? (given?.revision ?? 0) + 1 : given.revision
    if (isNew) await state.setGiven(nodeId, { revision, digest })
    this.#newest.set(nodeId, { ...content, revision })
    const isDue = isNew || (this.#passedOver.has(nodeId) && this.#needs.isPresent(nodeId))
    if (isDue) this.#delivery(nodeId).request()
  }

  /**
   * The node says which plan it follows. It gets the newest when that is another one; one with a higher number than any it was
   * given (this coordinator's vault is older than its own) makes ours rise above it.
   */
  async follows(nodeId: NodeId, revision: number): Promise<void> {
    const { state } = this.#needs
    const given = state.given(nodeId)
    if (revision > (given?.revision ?? 0)) {
      // Without a digest the next pass makes a plan of its own of it.
      await state.setGiven(nodeId, { revision, digest: '' })
      this.#newest.delete(nodeId)
    } else if (revision < (given?.revision ?? 0)) this.#delivery(nodeId).request()
  }

  /** Why a node did not take its newest plan; undefined: it did, or was not asked yet. */
  failure(nodeId: NodeId): string | undefined {
    return this.#deliveries.get(nodeId)?.failure
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#deliveries.values()].map((delivery) => delivery.stop()))
  }

  #delivery(nodeId: NodeId): Delivery {
    const present = this.#deliveries.get(nodeId)
    if (present) return present
    const { clock, random, log } = this.#needs
    const delivery = new Delivery({
      clock,
      random,
      deliver: (signal) => this.#deliver(nodeId, signal),
      onFailure: (reason) => {
        log.warning('A node did not take its plan', { node: nodeId, reason })
        this.#needs.onFailure()
      },
    })
    this.#deliveries.set(nodeId, delivery)
    return delivery
  }

  async #deliver(nodeId: NodeId, signal: AbortSignal): Promise<void> {
    const plan = this.#newest.get(nodeId)
    if (!plan || !this.#needs.isPresent(nodeId)) {
      this.#passedOver.add(nodeId)
      return
    }
    this.#passedOver.delete(nodeId)
    await this.#needs.give(nodeId, signPlan(this.#needs.signer, plan), signal)
  }
}
