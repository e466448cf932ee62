import { type ControlStore, jsonValue, type Operation } from '../../base/control-store.ts'

/** `expires_at_ms`: wall time after which nothing with this id is good any more. */
interface StoredRevocation {
  expires_at_ms: number
}

const PREFIX = 'auth/revoked/'

/**
 * The newest of them are kept whatever the time is (1 MB): a clock that was wrong for a while, either way, brings none back to
 * life. Beyond that number those go whose end is a day past.
 */
export const REVOCATIONS_KEPT = 10_000
const GRACE_MS = 24 * 3600_000
/** Removed together with one revocation, so that a commit stays small. */
const PRUNED_PER_REVOCATION_MAX = 50

/** Told to the other nodes in the coordinator's record, newest first: 4 KB of it. */
const PUBLISHED_MAX = 150

/** Ids of tokens and of sessions that are good no more, on stable storage before anybody is told. */
export class RevokedTokens {
  readonly #store: ControlStore
  /** Id → end of its life, oldest revocation first. */
  readonly #endsMs = new Map<string, number>()
  readonly #listeners = new Set<() => void>()

  constructor(store: ControlStore) {
    this.#store = store
  }

  async load(): Promise<void> {
    const entries = await this.#store.range(PREFIX)
    for (const { key, value } of entries.sort((a, b) => a.revision - b.revision)) {
      const { expires_at_ms } = JSON.parse(Buffer.from(value).toString('utf8')) as StoredRevocation
      this.#endsMs.set(key.slice(PREFIX.length), expires_at_ms)
    }
  }

  has(id: string): boolean {
    return this.#endsMs.has(id)
  }

  /**
   * Revokes, and does what else belongs to it, in one commit; durable once this resolves.
   * @param wallMs now
   */
  async add(
    ids: readonly { id: string; endsMs: number }[],
    wallMs: number,
    also: readonly Operation[] = [],
  ): Promise<void> {
    const dead = this.#dead(wallMs)
    await this.#store.transact({
      operations: [
        ...dead.map((id) => ({ type: 'delete', key: PREFIX + id }) as const),
        ...ids.map(({ id, endsMs }) => {
          const entry: StoredRevocation = { expires_at_ms: endsMs }
          return { type: 'put', key: PREFIX + id, value: jsonValue(entry) } as const
        }),
        ...also,
      ],
    })
    for (const id of dead) this.#endsMs.delete(id)
    for (const { id, endsMs } of ids) this.#endsMs.set(id, endsMs)
    if (ids.length > 0) for (const listener of this.#listeners) listener()
  }

  /** Those that other nodes may still be shown, newest first. */
  published(wallMs: number): string[] {
    const alive = [...this.#endsMs].filter(([, endsMs]) => endsMs > wallMs - GRACE_MS)
    return alive
      .slice(-PUBLISHED_MAX)
      .reverse()
      .map(([id]) => id)
  }

  /** @returns a function that unregisters */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #dead(wallMs: number): string[] {
    const surplus = this.#endsMs.size - REVOCATIONS_KEPT
    if (surplus <= 0) return []
    const oldest = [...this.#endsMs].slice(0, Math.min(surplus, PRUNED_PER_REVOCATION_MAX))
    return oldest.filter(([, endsMs]) => endsMs <= wallMs - GRACE_MS).map(([id]) => id)
  }
}
