import type { NodeId } from '../../base/identity.ts'
import type { Condition } from './alert.ts'

const MINUTE_MS = 60_000
/** What is compared: the last minutes with the hour before. */
const NOW_MINUTES = 5
const BEFORE_MINUTES = 60
/** Fewer errors are no alert, whatever there was before. */
const ERRORS_MIN = 20
/** So many times as many as usual. */
const RISE = 4
const NODES_MAX = 4_096

/** How many errors each node logs a minute, and where they rise. */
export class ErrorRise {
  readonly #nodes = new Map<NodeId, Map<number, number>>()

  add(nodeId: NodeId, nowMs: number): void {
    let minutes = this.#nodes.get(nodeId)
    if (!minutes) {
      if (this.#nodes.size >= NODES_MAX) return
      this.#nodes.set(nodeId, (minutes = new Map()))
    }
    const minute = Math.floor(nowMs / MINUTE_MS)
    minutes.set(minute, (minutes.get(minute) ?? 0) + 1)
  }

  conditions(nowMs: number): Condition[] {
    const minute = Math.floor(nowMs / MINUTE_MS)
    const found: Condition[] = []
    for (const [nodeId, minutes] of this.#nodes) {
      let now = 0
      let before = 0
      for (const [at, errors] of minutes) {
        const age = minute - at
        if (age > NOW_MINUTES + BEFORE_MINUTES) minutes.delete(at)
        else if (age < NOW_MINUTES) now += errors
        else before += errors
      }
      if (minutes.size === 0) this.#nodes.delete(nodeId)
      const usual = (before * NOW_MINUTES) / BEFORE_MINUTES
      if (now < ERRORS_MIN || now < RISE * usual) continue
      found.push({
        id: `logs/${nodeId}`,
        severity: 'warning',
        title: `${nodeId} logs many errors`,
        detail: `${now} within ${NOW_MINUTES} minutes; ${usual < 1 ? 'hardly any' : `about ${Math.round(usual)}`} before.`,
        nodeId,
        remedy: `Read them: p2p logs --node ${nodeId} --level ERROR`,
      })
    }
    return found
  }
}
