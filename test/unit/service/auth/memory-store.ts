import type { ControlStore, Entry, Transaction, TransactionResult } from '../../../../src/base/control-store.ts'

/** The part of a control store that the token issuer uses. `failNext` makes the next transaction fail as a full disk does. */
export class MemoryStore implements ControlStore {
  readonly #entries = new Map<string, Entry>()
  revision = 0
  failNext: Error | undefined

  async get(key: string): Promise<Entry | undefined> {
    return this.#entries.get(key)
  }

  async range(prefix: string): Promise<Entry[]> {
    const found = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix))
    return found.sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  async transact({ compares = [], operations }: Transaction): Promise<TransactionResult> {
    const failure = this.failNext
    this.failNext = undefined
    if (failure) throw failure
    const succeeded = compares.every(({ key, revision }) => (this.#entries.get(key)?.revision ?? 0) === revision)
    if (!succeeded) return { succeeded, revision: this.revision }
    this.revision++
    for (const operation of operations) {
      const { key } = operation
      const old = this.#entries.get(key)
      if (operation.type === 'delete') this.#entries.delete(key)
      else {
        const { revision } = this
        const value = operation.value
        this.#entries.set(key, {
          key,
          value,
          revision,
          createRevision: old?.createRevision ?? revision,
          version: (old?.version ?? 0) + 1,
        })
      }
    }
    return { succeeded, revision: this.revision }
  }

  /** Every stored byte as text: to look for secrets. */
  text(): string {
    return [...this.#entries.values()].map(({ key, value }) => `${key}=${Buffer.from(value).toString()}`).join('\n')
  }

  watch(): AsyncIterable<never> {
    throw new Error('not used by what is tested here')
  }
  async grantLease(): Promise<string> {
    throw new Error('not used by what is tested here')
  }
  async keepAlive(): Promise<void> {}
  async revokeLease(): Promise<void> {}
}
