import { toHex } from '../../base/bytes.ts'
import type { Component } from '../../base/component.ts'
import { type ControlStore, getJson, jsonValue, put } from '../../base/control-store.ts'
import { DeployError, type ErrorCode, messageOf, P2PError } from '../../base/errors.ts'
import type { NodeId, NodeIdentity } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { Turns } from '../../base/turns.ts'
import type { Caller, ServiceDefinition } from '../../service/index.ts'
import type { ArtifactFacts } from '../artifacts/artifact-facts.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { contextOfNode } from '../node-call.ts'
import type { RolloutStatus } from '../../base/deployment.ts'
import { PROGRAM_SERVICE, prepareUpgrade, type UpgradePlan, type UpgradeRequest } from './prepare-upgrade.ts'
import { stepUpgrade, withReport, withState } from './step-upgrade.ts'
import { type Upgrade, upgradeStatus } from './upgrade.ts'
import { createUpgradesService, UPGRADES_SERVICE } from './upgrades-service.ts'

/** From a node's turn to its word that it runs well. It goes back by itself long before. */
const NODE_MS_MAX = 10 * 60 * 1_000
const ASK_TIMEOUT_MS = 15_000
/** After a node could not be asked, or the disk was full. */
const RETRY_MS = 5_000
const KEY_BYTES = 16

const STORED = 'upgrade/latest'

export interface UpgradeCoordinatorNeeds {
  clock: Clock
  random: Random
  log: Logger
  store: ControlStore
  membership: Membership
  calls: Caller
  artifacts: { get(digest: ArtifactDigest): ArtifactFacts | undefined }
}

/** Brings a version of the program to the nodes: on a coordinator, which goes on after a restart where it was. */
export interface UpgradeCoordinator extends Component {
  /** The built-in service `upgrades`: to be registered before the services start, which loads what is stored. */
  readonly service: ServiceDefinition
  /** What nodes may still have to fetch. */
  artifactInUse(): ArtifactDigest | undefined
}

export function createUpgradeCoordinator(
  needs: UpgradeCoordinatorNeeds,
  options: { identity: NodeIdentity; softwareVersion: string },
): UpgradeCoordinator {
  return new StoredUpgradeCoordinator(needs, options)
}

class StoredUpgradeCoordinator implements UpgradeCoordinator {
  readonly name = 'upgrades'
  readonly service: ServiceDefinition
  readonly #needs: UpgradeCoordinatorNeeds
  readonly #identity: NodeIdentity
  readonly #log: Logger
  readonly #stopped = new AbortController()
  readonly #listeners = new Set<() => void>()
  /** Until a node must have said that it is done. */
  readonly #deadlines = new Map<NodeId, Timer>()
  readonly #asking = new Map<NodeId, Promise<void>>()
  readonly #retries = new Set<Timer>()
  #upgrade: Upgrade | undefined
  /** Changes are made and stored one after the other. */
  readonly #turns = new Turns()

  constructor(
    needs: UpgradeCoordinatorNeeds,
    { identity, softwareVersion }: { identity: NodeIdentity; softwareVersion: string },
  ) {
    this.#needs = needs
    this.#identity = identity
    this.#log = needs.log.child('Upgrades')
    this.service = createUpgradesService(
      {
        load: async () => {
          this.#upgrade = await getJson<Upgrade>(needs.store, STORED)
        },
        plan: (request) => this.#plan(request),
        begin: (request, by) => this.#begin(request, by),
        status: () => this.#upgrade && upgradeStatus(this.#upgrade),
        follow: (signal) => this.#follow(signal),
        take: (report) => this.#change((upgrade) => withReport(upgrade, report)),
      },
      { softwareVersion },
    )
  }

  async start(): Promise<void> {
    await this.#change((upgrade) => upgrade)
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('stopping'))
    for (const timer of [...this.#deadlines.values(), ...this.#retries]) timer.cancel()
    this.#tell()
    await Promise.allSettled(this.#asking.values())
    await this.#turns.settled
  }

  artifactInUse(): ArtifactDigest | undefined {
    return this.#upgrade?.state === 'running' ? this.#upgrade.digest : undefined
  }

  #plan(request: UpgradeRequest): UpgradePlan {
    return prepareUpgrade(request, this.#needs.membership.members(), this.#identity.nodeId)
  }

  #begin(request: UpgradeRequest & { digest: ArtifactDigest }, by: string): Promise<RolloutStatus> {
    return this.#turns.run(async () => {
      const { digest, version } = request
      const present = this.#upgrade
      if (present?.state === 'running') {
        const message = `The nodes are on their way to ${present.version}: wait for its end`
        throw new DeployError('P2P_DEPLOY_BUSY', message, { version: present.version })
      }
      const facts = this.#needs.artifacts.get(digest)
      if (!facts) throw new DeployError('P2P_DEPLOY_ARTIFACT_UNKNOWN', `There is no bundle ${digest} here: upload it`)
      if (facts.kind !== 'program' || facts.version !== version) {
        const message = `Bundle ${digest} holds ${facts.service} ${facts.version}, not version ${version} of the program`
        throw new DeployError('P2P_DEPLOY_INVALID', message, { digest })
      }
      const { refusals, waves, fromVersion } = this.#plan(request)
      if (refusals.length > 0) {
        const reasons = refusals.map(({ message }) => message).join('; ')
        throw new DeployError('P2P_DEPLOY_REFUSED', `The upgrade to ${version} is refused: ${reasons}`, { refusals })
      }
      const startedAtMs = this.#needs.clock.wallMs()
      const nodes = waves.flat().map((nodeId) => ({ nodeId, state: 'waiting' as const }))
      const key = toHex(this.#needs.random.bytes(KEY_BYTES))
      const number = (present?.number ?? 0) + 1
      const upgrade: Upgrade = {
        key,
        number,
        digest,
        version,
        fromVersion,
        waves,
        nodes,
        state: 'running',
        by,
        startedAtMs,
      }
      await this.#keep(upgrade)
      this.#log.info('An upgrade begins', { version, nodes: nodes.length, by })
      await this.#advance()
      return upgradeStatus(upgrade)
    })
  }

  /** What a node has said, or what was not heard of it. */
  #change(next: (upgrade: Upgrade) => Upgrade): Promise<void> {
    return this.#turns.run(() => this.#changeNow(next))
  }

  async #changeNow(next: (upgrade: Upgrade) => Upgrade): Promise<void> {
    const upgrade = this.#upgrade
    if (upgrade?.state !== 'running') return
    const changed = next(upgrade)
    if (JSON.stringify(changed) !== JSON.stringify(upgrade)) await this.#keep(changed)
    await this.#advance()
  }

  /** Asks whose turn it is, and ends what has come to its end. Only in turn. */
  async #advance(): Promise<void> {
    const present = this.#upgrade
    if (!present || this.#stopped.signal.aborted) return
    const { upgrade, ask } = stepUpgrade(present, this.#needs.clock.wallMs())
    for (const nodeId of ask) this.#ask(upgrade, nodeId)
    this.#watchDeadlines(upgrade)
    if (upgrade !== present) await this.#end(upgrade)
  }

  async #end(upgrade: Upgrade): Promise<void> {
    const { version, state, reason } = upgrade
    await this.#keep(upgrade)
    if (state === 'succeeded') this.#log.info('An upgrade has ended well', { version })
    else this.#log.error('An upgrade has failed', { version, reason })
  }

  #ask({ key, digest, version }: Upgrade, nodeId: NodeId): void {
    if (this.#asking.has(nodeId)) return
    const { signal } = this.#stopped
    const context = contextOfNode(this.#needs, this.#identity, UPGRADES_SERVICE, ASK_TIMEOUT_MS, signal)
    const asking = this.#needs.calls
      .call(`${PROGRAM_SERVICE}/switch`, { upgrade: key, digest, version }, context, nodeId)
      .then(
        () => this.#answered(key, nodeId, 'fetching'),
        (error: unknown) => this.#notAsked(key, nodeId, error),
      )
    this.#asking.set(nodeId, asking)
  }

  #answered(key: string, nodeId: NodeId, state: 'fetching' | 'failed', reason?: string): Promise<void> {
    // In turn, so that nobody asks the node once more before its answer is taken.
    void this.#turns.run(async () => void this.#asking.delete(nodeId))
    return this.#changeUntilStored(key, (upgrade) => {
      // What the node has reported meanwhile is newer than its answer.
      const isWaiting = upgrade.nodes.some((node) => node.nodeId === nodeId && node.state === 'waiting')
      return isWaiting ? withState(upgrade, nodeId, state, reason) : upgrade
    })
  }

  /** Not reached, it is asked again until its deadline; what it refuses, it would refuse again. */
  async #notAsked(key: string, nodeId: NodeId, error: unknown): Promise<void> {
    if (this.#stopped.signal.aborted) return
    const mayMend = error instanceof P2PError && (error.facts.retryable || NOT_REACHED.has(error.code))
    if (!mayMend) {
      await this.#answered(key, nodeId, 'failed', messageOf(error))
      return
    }
    this.#later(() => {
      this.#asking.delete(nodeId)
      void this.#changeUntilStored(key, (upgrade) => upgrade)
    })
  }

  /** For what nobody tells again: it would be lost with a disk that is full for a moment. Never rejects. */
  async #changeUntilStored(key: string, next: (upgrade: Upgrade) => Upgrade): Promise<void> {
    try {
      await this.#change((upgrade) => (upgrade.key === key ? next(upgrade) : upgrade))
    } catch (error) {
      this.#log.error('How far an upgrade is could not be stored; it is tried again', { reason: messageOf(error) })
      this.#later(() => void this.#changeUntilStored(key, next))
    }
  }

  #later(work: () => void): void {
    if (this.#stopped.signal.aborted) return
    const timer = this.#needs.clock.after(RETRY_MS, () => {
      this.#retries.delete(timer)
      work()
    })
    this.#retries.add(timer)
  }

  /** A node has its time from its turn on; after a restart of this coordinator anew. */
  #watchDeadlines({ key, state, waves, nodes }: Upgrade): void {
    const stateOf = new Map(nodes.map((node) => [node.nodeId, node.state]))
    const isOver = (id: NodeId): boolean => ['done', 'failed', 'returned'].includes(stateOf.get(id) ?? '')
    const turn = state === 'running' ? (waves.find((ids) => !ids.every(isOver)) ?? []).filter((id) => !isOver(id)) : []
    for (const [nodeId, timer] of this.#deadlines) {
      if (turn.includes(nodeId)) continue
      timer.cancel()
      this.#deadlines.delete(nodeId)
    }
    for (const nodeId of turn) {
      if (this.#deadlines.has(nodeId)) continue
      const reason = `it did not say within ${NODE_MS_MAX / 60_000} min that it runs well; look at its log`
      const timer = this.#needs.clock.after(NODE_MS_MAX, () => {
        void this.#changeUntilStored(key, (upgrade) => withState(upgrade, nodeId, 'failed', reason))
      })
      this.#deadlines.set(nodeId, timer)
    }
  }

  async #keep(upgrade: Upgrade): Promise<void> {
    await put(this.#needs.store, STORED, jsonValue(upgrade))
    this.#upgrade = upgrade
    this.#tell()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  async *#follow(signal: AbortSignal): AsyncGenerator<RolloutStatus, void, undefined> {
    const { promise: gone, resolve: onGone } = Promise.withResolvers<void>()
    let wake = (): void => {}
    const listener = (): void => wake()
    signal.addEventListener('abort', () => onGone(), { once: true })
    this.#listeners.add(listener)
    try {
      let told: Upgrade | undefined
      while (!signal.aborted && !this.#stopped.signal.aborted) {
        const changed = new Promise<void>((resolve) => (wake = resolve))
        const upgrade = this.#upgrade
        if (!upgrade) return
        if (upgrade !== told) {
          told = upgrade
          yield upgradeStatus(upgrade)
          continue
        }
        if (upgrade.state !== 'running') return
        await Promise.race([changed, gone])
      }
    } finally {
      this.#listeners.delete(listener)
    }
  }
}

/** The node is on its way up or down, which its membership tells a moment later. */
const NOT_REACHED: ReadonlySet<ErrorCode> = new Set([
  'P2P_RPC_NO_INSTANCE',
  'P2P_RPC_METHOD_NOT_FOUND',
  'P2P_SERVICE_NOT_FOUND',
  'P2P_NETWORK_NODE_UNKNOWN',
])
