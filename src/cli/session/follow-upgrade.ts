import { messageOf, P2PError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { endText } from '../output/rollout-text.ts'
import { styler } from '../output/style.ts'
import { callMethod } from './call-method.ts'
import type { Session } from './connect.ts'
import type { RolloutView } from './deployments.ts'
import { type Followed, INTERRUPTED, rolloutView } from './follow-rollout.ts'

/** The coordinator is upgraded, too: it is not there for some seconds. */
const RETRY_MS = 2_000

/** Shows an upgrade until it has ended or the person is tired of it; it goes on either way. */
export async function followUpgrade(host: CliHost, session: Session, begun: RolloutView): Promise<Followed> {
  const view = rolloutView(host)
  const interruption = host.interruption()
  const { signal } = interruption
  let rollout = begun
  const onStatus = (item: unknown): void => {
    const told = item as RolloutView
    if (told.generation < begun.generation) return
    // Somebody has begun the next one: this one has ended unseen.
    rollout = told.generation > begun.generation ? { ...rollout, state: 'superseded' } : told
    view.show(rollout)
  }
  try {
    view.show(rollout)
    while (rollout.state === 'running' && !signal.aborted) {
      try {
        await callMethod(session, { method: 'upgrades/follow', params: {}, node: 'local', signal }, onStatus)
      } catch (error) {
        if (signal.aborted) break
        if (!(error instanceof P2PError) || !error.facts.retryable) throw error
        view.lost(messageOf(error))
      }
      if (rollout.state === 'running') await host.pause(RETRY_MS, signal).catch(() => {})
    }
  } finally {
    interruption.dispose()
  }
  host.talk.write(`${endText(rollout, styler(host.talk, host.environment))}\n`)
  if (rollout.state !== 'running') return { rollout, exitCode: rollout.state === 'succeeded' ? 0 : 1 }
  host.talk.write('It goes on without this command. To look again: p2p call upgrades/get_upgrade\n')
  return { rollout, exitCode: INTERRUPTED }
}
