import type { ControlStore, Entry, Transaction, TransactionResult } from '../../../src/base/control-store.ts'

/** A ControlStore in memory, as far as pki uses one. Set `failure` to make commits fail. */
export class MemoryStore implements ControlStore {
  revision = 0
  failure: Error | undefined
  readonly #entries = new Map<string, Entry>()

  /** What a backup taken now holds. */
  copy(): MemoryStore {
    const copy = new MemoryStore()
    copy.revision = this.revision
    for (const [key, entry] of this.#entries) copy.#entries.set(key, entry)
    return copy
  }

  get(key: string): Promise<Entry | undefined> {
    return Promise.resolve(this.#entries.get(key))
  }

  range(prefix: string, limit?: number): Promise<Entry[]> {
    const found = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix))
    return Promise.resolve(found.sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, limit))
  }

  async transact({ compares = [], operations }: Transaction): Promise<TransactionResult> {
    await Promise.resolve()
    if (this.failure) throw this.failure
    const holds = compares.every(({ key, revision }) => (this.#entries.get(key)?.revision ?? 0) === revision)
    if (!holds) return { succeeded: false, revision: this.revision }
    this.revision++
    for (const operation of operations) {
      const { key } = operation
      if (operation.type === 'delete') this.#entries.delete(key)
      else {
        const old = this.#entries.get(key)
        this.#entries.set(key, {
          key,
          value: operation.value,
          createRevision: old?.createRevision ?? this.revision,
          revision: this.revision,
          version: (old?.version ?? 0) + 1,
        })
      }
    }
    return { succeeded: true, revision: this.revision }
  }

  /** All that is stored, as one text: to look for what must not be there. */
  dump(): string {
    return [...this.#entries.values()].map(({ key, value }) => `${key} ${Buffer.from(value).toString()}`).join('\n')
  }

  keys(prefix: string): string[] {
    return [...this.#entries.keys()].filter((key) => key.startsWith(prefix))
  }

  watch(): never {
    throw new Error('pki does not watch')
  }

  grantLease(): never {
    throw new Error('pki takes no leases')
  }

  keepAlive(): never {
    throw new Error('pki takes no leases')
  }

  revokeLease(): never {
    throw new Error('pki takes no leases')
  }
}
