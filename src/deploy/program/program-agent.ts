import { z } from 'zod'
import type { Component } from '../../base/component.ts'
import { DeployError, messageOf } from '../../base/errors.ts'
import type { NodeId, NodeIdentity } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { type Caller, defineService, method, type ServiceDefinition } from '../../service/index.ts'
import type { UnpackedBundle } from '../bundle/bundle-folders.ts'
import { Delivery } from '../delivery.ts'
import { requireService } from '../internal-caller.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { contextOfNode } from '../node-call.ts'
import { PROGRAM_SERVICE } from './prepare-upgrade.ts'
import type { ProgramControl } from './program-control.ts'
import { confirmed, type ProgramVersion, switchedTo } from './program-pointer.ts'
import type { ProgramReport } from './upgrade.ts'
import { UPGRADES_SERVICE } from './upgrades-service.ts'

/** A program that is ready and has run so long without a fault is confirmed. */
const HEALTHY_MS = 5_000
/** Fetching and unpacking; longer than a coordinator waits would be of no use. */
const FETCH_MS_MAX = 8 * 60 * 1_000
const REPORT_TIMEOUT_MS = 10_000
/** So much of a failure is told: it travels, and is stored. */
const REASON_CHARACTERS_MAX = 500

export interface ProgramAgentNeeds {
  clock: Clock
  random: Random
  log: Logger
  membership: Membership
  calls: Caller
  control: ProgramControl
  /** Programs on this node's disk. */
  programs: {
    unpacked(digest: ArtifactDigest, signal: AbortSignal): Promise<UnpackedBundle>
    keepOnly(wanted: () => ReadonlySet<ArtifactDigest>): Promise<void>
  }
}

/** Changes this node's own program when a coordinator asks for it, and tells coordinators what became of it. */
export interface ProgramAgent extends Component {
  /** The built-in service `program`. */
  readonly service: ServiceDefinition
  /** The node answers: from now on its program may be confirmed. */
  ready(): void
}

interface Order extends ProgramVersion {
  upgrade: string
}

export function createProgramAgent(
  needs: ProgramAgentNeeds,
  options: { identity: NodeIdentity; softwareVersion: string },
): ProgramAgent {
  return new SwitchingProgramAgent(needs, options)
}

class SwitchingProgramAgent implements ProgramAgent {
  readonly name = 'program-agent'
  readonly service: ServiceDefinition
  readonly #needs: ProgramAgentNeeds
  readonly #identity: NodeIdentity
  readonly #version: string
  readonly #log: Logger
  readonly #reports: Delivery
  readonly #stopped = new AbortController()
  readonly #unlisten: (() => void)[] = []
  #knownCoordinators = ''
  /** The order under way, or the last one when it failed before anything was changed. */
  #order: (Order & { failure?: string }) | undefined
  #work: Promise<void> = Promise.resolve()
  #isReady = false
  #confirming: Timer | undefined

  constructor(
    needs: ProgramAgentNeeds,
    { identity, softwareVersion }: { identity: NodeIdentity; softwareVersion: string },
  ) {
    this.#needs = needs
    this.#identity = identity
    this.#version = softwareVersion
    this.#log = needs.log.child('Program')
    this.#reports = new Delivery({
      clock: needs.clock,
      random: needs.random,
      deliver: (signal) => this.#sendReport(signal),
      onFailure: (reason) => this.#log.warning('A coordinator did not take what this program says', { reason }),
    })
    this.service = this.#define()
  }

  async start(): Promise<void> {
    this.#unlisten.push(this.#needs.membership.onChange(() => this.#membersChanged()))
    this.#membersChanged()
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new DeployError('P2P_ARTIFACT_UNAVAILABLE', 'The node is stopping'))
    for (const unlisten of this.#unlisten.splice(0)) unlisten()
    this.#confirming?.cancel()
    await this.#work
    await this.#reports.stop()
  }

  ready(): void {
    this.#isReady = true
    const { failed } = this.#needs.control.pointer() ?? {}
    if (failed)
      this.#log.error('An upgrade of this node has failed', { version: failed.version, reason: failed.reason })
    this.#considerConfirming()
  }

  #define(): ServiceDefinition {
    return defineService({
      name: PROGRAM_SERVICE,
      version: this.#version,
      description: "This node's own program",
      methods: {
        switch: method({
          description: 'Fetches another version of the program and becomes it; for coordinators',
          public: true,
          requiredRole: 'admin',
          params: z.strictObject({
            upgrade: z.string().min(1).max(64),
            digest: z.string().regex(/^[0-9a-f]{64}$/),
            version: z.string().max(64),
          }),
          handler: (order, { caller }) => {
            requireService(caller, `${PROGRAM_SERVICE}/switch`, UPGRADES_SERVICE, 'coordinator')
            this.#take(order)
            return {}
          },
        }),
        get_program: method({
          description: 'Tells which version runs, which ran before, and what became of the last upgrade',
          public: true,
          requiredRole: 'viewer',
          params: z.strictObject({}),
          handler: () => {
            const { control } = this.#needs
            const { current, previous, isConfirmed } = control.pointer() ?? {}
            return {
              version: this.#version,
              installed_version: control.installed,
              digest: current?.digest,
              previous_version: previous?.version,
              is_confirmed: isConfirmed ?? true,
              upgrade: this.#report().upgrade,
            }
          },
        }),
      },
    })
  }

  /** The same order once more, from a coordinator that was started anew, changes nothing. */
  #take(order: Order): void {
    const isKnown = this.#order?.upgrade === order.upgrade && this.#order.failure === undefined
    if (isKnown || this.#needs.control.pointer()?.upgrade === order.upgrade) return
    this.#needs.control.requireReplaceable()
    if (this.#order && this.#order.failure === undefined) {
      throw new DeployError('P2P_DEPLOY_BUSY', `The node is changing to ${this.#order.version} already`)
    }
    this.#order = order
    this.#work = this.#follow(order)
  }

  /** Never rejects. */
  async #follow(order: Order): Promise<void> {
    const { control, membership, programs, clock } = this.#needs
    this.#log.info('The program is changed', { version: order.version, digest: order.digest })
    this.#reports.request()
    const tooLong = new AbortController()
    const limit = clock.after(FETCH_MS_MAX, () =>
      tooLong.abort(new DeployError('P2P_ARTIFACT_UNAVAILABLE', `not fetched within ${FETCH_MS_MAX / 60_000} min`)),
    )
    try {
      const signal = AbortSignal.any([this.#stopped.signal, tooLong.signal])
      const { folder, manifest } = await programs.unpacked(order.digest, signal)
      if (manifest.kind !== 'program' || manifest.version !== order.version) {
        const what = `${manifest.service} ${manifest.version} of kind ${manifest.kind}`
        throw new DeployError('P2P_BUNDLE_INVALID', `The bundle holds ${what}, not program ${order.version}`)
      }
      await control.prepare(folder)
      signal.throwIfAborted()
      const { upgrade, digest, version } = order
      const { installed, running } = control
      const hadCompany = this.#company(membership)
      control.save(switchedTo({ digest, version }, { installed, upgrade, running, hadCompany }))
      control.restart(`version ${version} takes over`)
    } catch (error) {
      if (this.#stopped.signal.aborted) return
      this.#order = { ...order, failure: messageOf(error).slice(0, REASON_CHARACTERS_MAX) }
      this.#log.error('The program was not changed', { version: order.version, reason: messageOf(error) })
    } finally {
      limit.cancel()
    }
    this.#reports.request()
  }

  #report(): ProgramReport {
    const report = { nodeId: this.#identity.nodeId, version: this.#version }
    const pointer = this.#needs.control.pointer()
    const order = this.#order
    if (order && order.upgrade !== pointer?.upgrade) {
      const { upgrade: key, failure } = order
      const upgrade = failure === undefined ? { key, state: 'fetching' } : { key, state: 'failed', reason: failure }
      return { ...report, upgrade: upgrade as NonNullable<ProgramReport['upgrade']> }
    }
    if (!pointer) return report
    const { upgrade: key, failed, isConfirmed, current } = pointer
    if (failed) return { ...report, upgrade: { key, state: 'returned', reason: failed.reason } }
    if (isConfirmed) return { ...report, upgrade: { key, state: 'done' } }
    const isRunning = current?.digest === this.#needs.control.running?.digest
    return { ...report, upgrade: { key, state: isRunning ? 'watching' : 'starting' } }
  }

  async #sendReport(signal: AbortSignal): Promise<void> {
    const { calls } = this.#needs
    const { nodeId, version, upgrade } = this.#report()
    const params = { node_id: nodeId, version, ...(upgrade && { upgrade }) }
    const context = contextOfNode(this.#needs, this.#identity, PROGRAM_SERVICE, REPORT_TIMEOUT_MS, signal)
    await Promise.all(this.#coordinators().map((id) => calls.call(`${UPGRADES_SERVICE}/report`, params, context, id)))
  }

  /** Those that keep track of upgrades: an older version may not. */
  #coordinators(): NodeId[] {
    return this.#needs.membership
      .members()
      .filter(({ record, status }) => record.role === 'coordinator' && status === 'alive')
      .filter(({ record }) => record.services.some(({ name }) => name === UPGRADES_SERVICE))
      .map(({ record }) => record.nodeId)
  }

  #membersChanged(): void {
    this.#considerConfirming()
    const { membership } = this.#needs
    const coordinators = this.#coordinators()
      .map((id) => `${id}@${membership.get(id)?.record.startedAtMs}`)
      .join()
    if (coordinators === this.#knownCoordinators) return
    this.#knownCoordinators = coordinators
    this.#reports.request()
  }

  /** A program that cannot talk to the others is no use: where there were others, it must find one. */
  #considerConfirming(): void {
    const { control, membership, clock } = this.#needs
    if (!this.#isReady || this.#confirming) return
    const pointer = control.pointer()
    if (!pointer || pointer.isConfirmed || pointer.current?.digest !== control.running?.digest) return
    if (pointer.hadCompany && !this.#company(membership)) return
    this.#confirming = clock.after(HEALTHY_MS, () => this.#confirm())
    this.#reports.request()
  }

  #confirm(): void {
    const { control, programs } = this.#needs
    const pointer = control.pointer()
    if (!pointer) return
    try {
      control.save(confirmed(pointer))
    } catch (error) {
      // Not confirmed in time, it is left again: better than a program that could not be written down.
      this.#log.error('The program could not be confirmed', { reason: messageOf(error) })
      return
    }
    this.#log.info('The program runs well', { version: this.#version })
    this.#reports.request()
    const kept = new Set([pointer.current, pointer.previous].flatMap((program) => (program ? [program.digest] : [])))
    this.#work = this.#work
      .then(() => programs.keepOnly(() => kept))
      .catch((error: unknown) => this.#log.warning('Old programs were not removed', { reason: messageOf(error) }))
  }

  #company(membership: Membership): boolean {
    const { nodeId } = this.#identity
    return membership.members().some(({ record, status }) => record.nodeId !== nodeId && status === 'alive')
  }
}
