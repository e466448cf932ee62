import type { ChangeEvent } from '../../base/control-store.ts'
import { HISTORY_BYTES_MAX, HISTORY_COMMITS_MAX } from './limits.ts'

interface Past {
  revision: number
  events: ChangeEvent[]
  bytes: number
}

/**
 * The last changes, for watchers that begin in the past or are slow: they read on from here at their own pace, so
 * that no watcher has a queue of its own. Bounded by count and bytes; the oldest go first.
 */
export class ChangeHistory {
  #past: Past[] = []
  #firstIndex = 0
  #bytes = 0
  #forgottenRevision = 0

  /** Changes up to and including this revision are no longer known. */
  get forgottenRevision(): number {
    return this.#forgottenRevision
  }

  /** @param revision the last one before the history begins */
  constructor(revision: number) {
    this.#forgottenRevision = revision
  }

  /** Revisions must come without a gap. */
  add(revision: number, events: ChangeEvent[]): void {
    const bytes = events.reduce((sum, event) => sum + eventBytes(event), 0)
    this.#past.push({ revision, events, bytes })
    this.#bytes += bytes
    while (this.#past.length - this.#firstIndex > HISTORY_COMMITS_MAX || this.#bytes > HISTORY_BYTES_MAX) this.#forget()
    // Moving the rest to the front only once half is forgotten keeps the price of a change constant.
    if (this.#firstIndex > this.#past.length / 2) {
      this.#past = this.#past.slice(this.#firstIndex)
      this.#firstIndex = 0
    }
  }

  /** The events of exactly this revision, which must be later than `forgottenRevision` and not in the future. */
  at(revision: number): readonly ChangeEvent[] {
    return this.#past[this.#firstIndex + revision - this.#forgottenRevision - 1]?.events ?? []
  }

  #forget(): void {
    const oldest = this.#past[this.#firstIndex]
    if (!oldest) return
    this.#firstIndex++
    this.#bytes -= oldest.bytes
    this.#forgottenRevision = oldest.revision
  }
}

function eventBytes(event: ChangeEvent): number {
  return event.type === 'put' ? event.entry.key.length + event.entry.value.byteLength : event.key.length
}
