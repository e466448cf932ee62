import type { AuditFeed } from '../../base/audit.ts'
import type { Component } from '../../base/component.ts'
import type { ChangeEvent, ControlStore } from '../../base/control-store.ts'
import { messageOf } from '../../base/errors.ts'
import { LOG_LEVELS } from '../../base/log.ts'
import type { Logger } from '../../base/log.ts'
import type { LogReader } from '../../base/log-line.ts'
import type { NodeId } from '../../base/identity.ts'
import type { Member, Membership } from '../../base/member.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { tellAudit } from './audit-happenings.ts'
import {
  ISSUED_PREFIX,
  PENDING_PREFIX,
  ROTATION_KEY,
  tellCertificate,
  tellPending,
  tellRotation,
} from './certificate-happenings.ts'
import { type DeploymentSource, tellDeployment } from './deployment-happenings.ts'
import type { EventRecorder } from './event-store.ts'
import { ErrorCounts, tellServiceEnd } from './log-happenings.ts'
import { tellHealth, tellMember } from './member-happenings.ts'
import { tellUpgrade, UPGRADE_KEY } from './upgrade-happenings.ts'

export interface TimelineSourcesNeeds {
  clock: Clock
  log: Logger
  recorder: EventRecorder
  membership: Membership
  store: Pick<ControlStore, 'watch'>
  logs: LogReader
  audit: AuditFeed
  deployments: DeploymentSource
}

/** A service that is started again fails for a moment; that it ended is told by its node. */
const HEALTH_SETTLES_MS = 5_000
const ERROR_RANK = LOG_LEVELS.indexOf('ERROR')

/** Listens to all that belongs on a coordinator's timeline. Nothing is asked again and again: each source tells. */
export function createTimelineSources(needs: TimelineSourcesNeeds): Component {
  return new TimelineSources(needs)
}

class TimelineSources implements Component {
  readonly name = 'timeline-sources'
  readonly #needs: TimelineSourcesNeeds
  readonly #log: Logger
  readonly #errors: ErrorCounts
  readonly #stopped = new AbortController()
  readonly #unlisten: (() => void)[] = []
  /** Members whose health is told in a moment. */
  readonly #settling = new Map<NodeId, Timer>()
  #following: Promise<void>[] = []

  constructor(needs: TimelineSourcesNeeds) {
    this.#needs = needs
    this.#log = needs.log.child('Timeline')
    this.#errors = new ErrorCounts(needs.clock, needs.recorder)
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { clock, recorder, membership, audit, deployments } = this.#needs
    const tellDeployments = (): void => {
      for (const deployed of deployments.list()) tellDeployment(recorder, deployed, clock.wallMs())
    }
    this.#unlisten.push(
      membership.onChange(({ member }) => this.#tell(member)),
      audit.onRecord((record) => tellAudit(recorder, record)),
      deployments.onChange(tellDeployments),
    )
    for (const member of membership.members()) this.#tell(member)
    tellDeployments()
    this.#following = [
      this.#follow(ISSUED_PREFIX, tellCertificate),
      this.#follow(PENDING_PREFIX, tellPending),
      this.#follow(ROTATION_KEY, tellRotation),
      this.#follow(UPGRADE_KEY, tellUpgrade),
      this.#followLogs(),
    ]
  }

  async stop(): Promise<void> {
    for (const unlisten of this.#unlisten.splice(0)) unlisten()
    for (const timer of this.#settling.values()) timer.cancel()
    this.#stopped.abort()
    await Promise.all(this.#following)
    this.#errors.stop()
  }

  #tell(member: Member): void {
    const { clock, recorder, membership } = this.#needs
    const { nodeId } = member.record
    tellMember(recorder, member, clock.wallMs())
    if (this.#settling.has(nodeId)) return
    const timer = clock.after(HEALTH_SETTLES_MS, () => {
      this.#settling.delete(nodeId)
      const now = membership.get(nodeId)
      if (now) tellHealth(recorder, now, clock.wallMs())
    })
    this.#settling.set(nodeId, timer)
  }

  /** Never rejects. */
  async #follow(
    prefix: string,
    tell: (recorder: EventRecorder, change: ChangeEvent, nowMs: number) => void,
  ): Promise<void> {
    const { store, recorder, clock } = this.#needs
    const { signal } = this.#stopped
    try {
      for await (const change of store.watch(prefix, { signal })) tell(recorder, change, clock.wallMs())
    } catch (error) {
      if (!signal.aborted) this.#log.error('Changes are not told any more', { prefix, reason: messageOf(error) })
    }
  }

  /** Never rejects. */
  async #followLogs(): Promise<void> {
    const { logs, recorder } = this.#needs
    const { signal } = this.#stopped
    try {
      for await (const lines of logs.subscribe({ level: 'WARNING' }, { signal })) {
        for (const line of lines) {
          if (tellServiceEnd(recorder, line)) continue
          if (LOG_LEVELS.indexOf(line.level) >= ERROR_RANK) this.#errors.add(line)
        }
      }
    } catch (error) {
      if (!signal.aborted) this.#log.error('Log lines are not told any more', { reason: messageOf(error) })
    }
  }
}
