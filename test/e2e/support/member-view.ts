import { once } from 'node:events'
import { ask, type NodeApi } from './node-api.ts'

/** A member as a node's HTTP surface shows it; what is used of it here. */
export interface MemberRow {
  node_id: string
  status: 'alive' | 'suspected' | 'dead' | 'left'
  addresses: string[]
  services: Record<string, { status: string }>
}

/** One change in one node's view. */
export interface SeenChange {
  /** `performance.now()` of this process. */
  atMs: number
  row: MemberRow
  /** What was known before; undefined for a member never seen before. */
  before: MemberRow | undefined
}

/** What one node knows of the cluster, followed by its event stream: nothing is polled, no change is missed. */
export interface MemberView {
  readonly nodeId: string
  rows(): MemberRow[]
  get(nodeId: string): MemberRow | undefined
  /** Every change since the view was opened; all rows of a snapshot, with which it begins. */
  readonly changes: readonly SeenChange[]
  /** @returns a function that unregisters */
  onChange(listener: (change: SeenChange) => void): () => void
  /** Resolves as soon as the view satisfies. @throws with the view, after `withinMs` */
  until(what: string, isEnough: (view: MemberView) => boolean, withinMs?: number): Promise<void>
  close(): void
}

const WITHIN_MS = 60_000
/** Between two tries to follow a node that does not answer. */
const RECONNECT_MS = 100

export function followMembers(nodeId: string, api: NodeApi): MemberView {
  return new FollowedView(nodeId, api)
}

class FollowedView extends EventTarget implements MemberView {
  readonly nodeId: string
  readonly changes: SeenChange[] = []
  readonly #listeners = new Set<(change: SeenChange) => void>()
  readonly #rows = new Map<string, MemberRow>()
  readonly #closed = new AbortController()
  #lastId: string | undefined

  constructor(nodeId: string, api: NodeApi) {
    super()
    this.nodeId = nodeId
    void this.#follow(api)
  }

  rows(): MemberRow[] {
    return [...this.#rows.values()]
  }

  get(nodeId: string): MemberRow | undefined {
    return this.#rows.get(nodeId)
  }

  onChange(listener: (change: SeenChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async until(what: string, isEnough: (view: MemberView) => boolean, withinMs = WITHIN_MS): Promise<void> {
    const late = AbortSignal.timeout(withinMs)
    while (!isEnough(this)) {
      try {
        await once(this, 'change', { signal: late })
      } catch {
        const seen = this.rows().map(({ node_id: id, status }) => `${id} ${status}`)
        throw new Error(`${this.nodeId} does not see within ${withinMs / 1_000} s: ${what}; it sees ${seen.join(', ')}`)
      }
    }
  }

  close(): void {
    this.#closed.abort()
  }

  /** Never rejects. A stream ends after ten minutes, or with its node: then it goes on where it was. */
  async #follow(api: NodeApi): Promise<void> {
    const { signal } = this.#closed
    while (!signal.aborted) {
      try {
        await this.#read(api)
      } catch {
        // The node does not answer now, or does not know the token yet.
      }
      await new Promise((again) => setTimeout(again, RECONNECT_MS))
    }
  }

  async #read(api: NodeApi): Promise<void> {
    const answer = await ask(api, {
      method: 'GET',
      path: '/cluster/events',
      signal: this.#closed.signal,
      ...(this.#lastId !== undefined && { headers: { 'last-event-id': this.#lastId } }),
    })
    if (answer.statusCode !== 200) {
      answer.destroy()
      return
    }
    let text = ''
    for await (const chunk of answer) {
      const blocks = (text + chunk).split('\n\n')
      text = blocks.pop() as string
      for (const block of blocks) this.#onEvent(block)
    }
  }

  #onEvent(block: string): void {
    const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
    const event = field('event')
    const data = field('data')
    if (data === undefined) return
    this.#lastId = field('id')
    if (event === 'snapshot') (JSON.parse(data) as { nodes: MemberRow[] }).nodes.forEach((row) => this.#note(row))
    else this.#note((JSON.parse(data) as { node: MemberRow }).node)
    this.dispatchEvent(new Event('change'))
  }

  #note(row: MemberRow): void {
    const change = { atMs: performance.now(), row, before: this.#rows.get(row.node_id) }
    this.#rows.set(row.node_id, row)
    this.changes.push(change)
    for (const listener of this.#listeners) listener(change)
  }
}
