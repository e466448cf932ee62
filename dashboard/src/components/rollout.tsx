import type { Rollout } from '../api/types.ts'
import { State, type Tone } from './state.tsx'
import { Ago } from './time.tsx'
import { visible } from './visible-text.ts'

const TONES: Record<string, Tone> = {
  running: 'warn',
  succeeded: 'ok',
  'rolled-back': 'warn',
  failed: 'bad',
  superseded: 'off',
  done: 'ok',
  returned: 'bad',
}
const WORDS: Record<string, string> = { running: 'rolling out', 'rolled-back': 'rolled back', superseded: 'replaced' }

/** How a rollout ended, or that it is under way. */
export function RolloutState({ state }: { state: string }) {
  return <State word={WORDS[state] ?? state} tone={TONES[state] ?? 'off'} />
}

/** A rollout under way, or one that failed: how far it is, and each node's part in it. */
export function RolloutProgress({ rollout, what }: { rollout: Rollout; what: string }) {
  const { state, to_version: to, from_version: from, done, wanted, nodes = [], reason, started_at_ms: at } = rollout
  const isRunning = state === 'running'
  return (
    <div className={isRunning ? 'panel panel-pad rollout' : 'panel panel-pad rollout rollout-ended'} role="status">
      <div className="rollout-head">
        <b>
          {isRunning ? 'Rolling out' : 'Not rolled out:'} {what} {visible(to)}
        </b>
        <span className="muted small">
          {from !== undefined && `from ${visible(from)}`}
          {at !== undefined && (
            <>
              {from !== undefined && ', '}
              begun <Ago at={at} />
            </>
          )}
        </span>
        <span className="push">
          {done} of {wanted} new and healthy
        </span>
      </div>
      {isRunning && <progress value={done} max={Math.max(1, wanted)} aria-label={`Rollout of ${what}`} />}
      {reason !== undefined && <p className={isRunning ? 'muted wrap' : 'bad wrap'}>{visible(reason)}</p>}
      {nodes.length > 0 && (
        <ul className="rollout-nodes">
          {nodes.map(({ node_id: node, state: nodeState, reason: why }) => (
            <li key={node} title={why}>
              <span className="muted">{visible(node)}</span> <State word={nodeState} tone={TONES[nodeState] ?? 'off'} />
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
