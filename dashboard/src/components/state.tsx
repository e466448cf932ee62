import type { ClusterNode } from '../api/types.ts'

/** How good something is. Colour never says it alone: shape and word do too. */
export type Tone = 'ok' | 'warn' | 'bad' | 'off'

const TONES: Record<string, Tone> = {
  alive: 'ok',
  healthy: 'ok',
  running: 'ok',
  succeeded: 'ok',
  valid: 'ok',
  suspected: 'warn',
  starting: 'warn',
  stopping: 'warn',
  backoff: 'warn',
  warning: 'warn',
  expiring: 'warn',
  draining: 'warn',
  'rolled-back': 'warn',
  dead: 'bad',
  failing: 'bad',
  failed: 'bad',
  error: 'bad',
  expired: 'bad',
  refused: 'bad',
}

/** The tone of a word the node uses for a state; unknown ones are neutral. */
export function toneOf(word: string): Tone {
  return TONES[word] ?? 'off'
}

/** A service by how many of its wanted instances are healthy. */
export function serviceTone({ wanted, healthy }: { wanted: number; healthy: number }): Tone {
  if (healthy >= wanted) return wanted === 0 ? 'off' : 'ok'
  return healthy === 0 ? 'bad' : 'warn'
}

/** The mark alone: full disc, triangle, cross, ring. */
export function Mark({ tone }: { tone: Tone }) {
  return (
    <svg width="10" height="10" viewBox="0 0 10 10" className={tone === 'off' ? 'muted' : tone} aria-hidden>
      {tone === 'ok' && <circle cx="5" cy="5" r="4" fill="currentColor" />}
      {tone === 'warn' && <path d="M5 .8 9.6 9H.4z" fill="currentColor" />}
      {tone === 'bad' && <path d="M1.5 1.5l7 7M8.5 1.5l-7 7" stroke="currentColor" strokeWidth="2.2" />}
      {tone === 'off' && <circle cx="5" cy="5" r="3.4" fill="none" stroke="currentColor" strokeWidth="1.4" />}
    </svg>
  )
}

/** A state: mark and word. */
export function State({ word, tone = toneOf(word) }: { word: string; tone?: Tone }) {
  return (
    <span className="state">
      <Mark tone={tone} />
      {word}
    </span>
  )
}

/** How a node is, and whether it is drained. */
export function NodeState({ node: { status, drain } }: { node: Pick<ClusterNode, 'status' | 'drain'> }) {
  if (drain === undefined) return <State word={status} />
  return (
    <span className="states">
      <State word={status} />
      <State word={drain} />
    </span>
  )
}
