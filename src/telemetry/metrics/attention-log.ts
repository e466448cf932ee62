import type { AttentionItem } from '../../service/index.ts'
import type { Attention } from './attention.ts'

/** What mostly passes by itself is told once it has lasted so long. */
const PASSING_MS = 10_000

/** Remembers since when each trouble is there. */
export class AttentionLog {
  #since = new Map<string, number>()
  #items: AttentionItem[] = []

  get items(): AttentionItem[] {
    return this.#items
  }

  /** @param found all there is now; what is not in it any more is over */
  update(found: readonly Attention[], nowMs: number): void {
    this.#since = new Map(found.map(({ id, sinceMs }) => [id, sinceMs ?? this.#since.get(id) ?? nowMs]))
    this.#items = found
      .filter(({ id, isPassing }) => !isPassing || nowMs - this.#sinceOf(id) >= PASSING_MS)
      .map(({ sinceMs: _sinceMs, isPassing: _isPassing, ...item }) => ({
        ...item,
        since: new Date(this.#sinceOf(item.id)).toISOString(),
      }))
  }

  #sinceOf(id: string): number {
    return this.#since.get(id) as number
  }
}
