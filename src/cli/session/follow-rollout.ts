import type { CliHost } from '../host.ts'
import { createLiveText } from '../output/live-text.ts'
import { countText, endText, rolloutText } from '../output/rollout-text.ts'
import { plain, styler } from '../output/style.ts'
import type { Session } from './connect.ts'
import { deploymentPath, type RolloutView } from './deployments.ts'
import { followEvents } from './follow-events.ts'

/** What a shell reports of a program that was interrupted. */
export const INTERRUPTED = 130

/** How a rollout was seen to end. */
export interface Followed {
  /** As it was last told. */
  rollout: RolloutView
  /** 0: it succeeded; 1: it did not; 130: the person did not wait. */
  exitCode: number
}

/** Shows a rollout until it has ended or the person is tired of it; the rollout itself goes on either way. */
export async function followRollout(host: CliHost, session: Session, begun: RolloutView): Promise<Followed> {
  const style = styler(host.talk, host.environment)
  const view = rolloutView(host)
  const interruption = host.interruption()
  let rollout = begun
  try {
    view.show(rollout)
    const path = deploymentPath(begun.service, '/rollout/events')
    const { signal } = interruption
    const events = followEvents(session, path, { signal, pause: host.pause, onLost: view.lost })
    if (rollout.state === 'running') {
      for await (const { event, data } of events) {
        if (event !== 'rollout') continue
        const told = JSON.parse(data) as RolloutView
        if (told.generation < begun.generation) continue
        // Another change has begun meanwhile, and ended this one.
        if (told.generation > begun.generation) rollout = { ...rollout, state: 'superseded' }
        else rollout = told
        view.show(rollout)
        if (rollout.state !== 'running') break
      }
    }
  } finally {
    interruption.dispose()
  }
  host.talk.write(`${endText(rollout, style)}\n`)
  if (rollout.state === 'failed' || rollout.state === 'rolled-back') {
    host.talk.write(`What led to it: p2p why ${plain(rollout.service)}\n`)
  }
  if (rollout.state !== 'running') return { rollout, exitCode: rollout.state === 'succeeded' ? 0 : 1 }
  host.talk.write(`It goes on without this command. ${lookAgain(rollout.service)}\n`)
  return { rollout, exitCode: INTERRUPTED }
}

/** How to see what becomes of a rollout. */
export function lookAgain(service: string): string {
  return `To look again: p2p history ${plain(service)} --follow`
}

/** How a person sees a rollout's progress: as bars on a terminal, else as lines. */
export function rolloutView(host: CliHost): RolloutProgress {
  return host.talk.isTTY && host.environment.TERM !== 'dumb' ? barView(host) : lineView(host)
}

export interface RolloutProgress {
  show(rollout: RolloutView): void
  lost: (why: string) => void
}

/** A bar for every node, always as things are now. */
function barView(host: CliHost): RolloutProgress {
  const live = createLiveText(host.talk)
  const style = styler(host.talk, host.environment)
  let last = ''
  return {
    show(rollout) {
      last = rolloutText(rollout, style)
      live.draw(last)
    },
    lost: (why) => live.draw(`${last}${style('yellow', `${plain(why)}; trying again`)}\n`),
  }
}

/** A line for every change, for files and pipes. */
function lineView(host: CliHost): RolloutProgress {
  const known = new Map<string, string>()
  let count = ''
  return {
    show(rollout) {
      for (const { node_id: id, state, reason } of rollout.nodes) {
        const text = reason === undefined ? state : `${state}: ${plain(reason)}`
        if (known.get(id) === text) continue
        known.set(id, text)
        host.talk.write(`${plain(id)}: ${text}\n`)
      }
      if (rollout.wanted === 0 || count === countText(rollout)) return
      count = countText(rollout)
      host.talk.write(`${count}\n`)
    },
    lost: (why) => void host.talk.write(`${plain(why)}; trying again\n`),
  }
}
