import type { RolloutNodeState, RolloutState, RolloutView } from '../session/deployments.ts'
import { progressBar } from './progress-bar.ts'
import { spanText } from './relative-time.ts'
import { type Format, plain } from './style.ts'

type Style = (format: Format, text: string) => string

export const ROLLOUT_STYLES = {
  running: 'cyan',
  succeeded: 'green',
  'rolled-back': 'yellow',
  failed: 'red',
  superseded: 'dim',
} as const satisfies Record<RolloutState, Format>

/** How far a node is, and how that looks. */
const NODE_STATES = {
  waiting: { fraction: 0, format: 'dim' },
  fetching: { fraction: 0.25, format: 'cyan' },
  starting: { fraction: 0.5, format: 'cyan' },
  watching: { fraction: 0.75, format: 'cyan' },
  done: { fraction: 1, format: 'green' },
  failed: { fraction: 1, format: 'red' },
  returned: { fraction: 1, format: 'yellow' },
} as const satisfies Record<RolloutNodeState, { fraction: number; format: Format }>

const BAR_WIDTH = 20
const NAME_WIDTH_MAX = 30

/** A line with a bar for every node, and one for the whole. */
export function rolloutText(rollout: RolloutView, style: Style): string {
  const width = Math.min(NAME_WIDTH_MAX, Math.max(0, ...rollout.nodes.map(({ node_id: id }) => plain(id).length)))
  const lines = rollout.nodes.map(({ node_id: id, state, reason }) => {
    const { fraction, format } = NODE_STATES[state]
    const why = reason === undefined ? '' : `: ${plain(reason)}`
    return `  ${plain(id).padEnd(width)}  ${style(format, progressBar(fraction, BAR_WIDTH))}  ${state}${why}`
  })
  const count = rollout.wanted > 0 ? [countText(rollout)] : []
  return [...lines, ...count].map((line) => `${line}\n`).join('')
}

/** `2 of 3 healthy` */
export function countText({ done, wanted }: RolloutView): string {
  return `${done} of ${wanted} healthy`
}

/** How a rollout ended, in one sentence. */
export function endText(rollout: RolloutView, style: Style): string {
  const { service, from_version: from, to_version: to, state, started_at_ms: startMs, ended_at_ms: endMs } = rollout
  const why = rollout.reason === undefined ? '' : `: ${plain(rollout.reason)}`
  const took = endMs === undefined ? '' : `, after ${spanText(endMs - startMs)}`
  const name = `${plain(service)} ${plain(to)}`
  switch (state) {
    case 'succeeded':
      // A job that waits for its time, or a service of no instances.
      if (rollout.wanted === 0) return `${style('green', 'Done:')} ${name}${took}`
      return `${style('green', 'Done:')} ${name} runs, ${countText(rollout)}${took}`
    case 'rolled-back':
      return `${style('yellow', 'Rolled back:')} ${name} failed, ${from === undefined ? 'the earlier version' : plain(from)} runs again${took}${why}`
    case 'failed':
      return `${style('red', 'Failed:')} ${name}, ${countText(rollout)}${took}${why}`
    case 'superseded':
      return `${style('yellow', 'Superseded:')} another change of ${plain(service)} took the place of ${plain(to)}${why}`
    case 'running':
      return `${name} is on its way, ${countText(rollout)}`
  }
}
