import type { LogFilter, LogLine, LogPage, LogPageRequest, LogReader } from '../../../../src/base/log-line.ts'

/** A log in memory; only `nodeId` of a filter counts. */
export class MemoryLogs implements LogReader {
  lines: LogLine[] = []
  readonly #listeners = new Set<() => void>()
  /** Subscriptions that are open. */
  open = 0
  /** Makes reading fail from now on. */
  failure: Error | undefined

  add(count: number, nodeId = 'worker-1', message = 'line'): void {
    for (let i = 0; i < count; i++) {
      const cursor = this.lines.length + 1
      this.lines.push({
        cursor,
        nodeId,
        seq: cursor,
        timeMs: cursor,
        receivedMs: cursor,
        clockOffsetMs: 0,
        level: 'INFO',
        logger: 'Test',
        message: `${message} ${cursor}`,
        fieldsJson: '{}',
        traceId: '',
      })
    }
    for (const wake of this.#listeners) wake()
  }

  async query(_filter: LogFilter, { limit }: LogPageRequest): Promise<LogPage> {
    if (this.failure) throw this.failure
    return { lines: this.lines.slice(-limit).toReversed(), total: this.lines.length, latest: this.lines.length }
  }

  async sources() {
    return { nodes: ['worker-1'], loggers: ['Test'] }
  }

  async *subscribe(
    filter: LogFilter,
    { after = this.lines.length, signal }: { after?: number; signal: AbortSignal },
  ): AsyncGenerator<readonly LogLine[]> {
    let at = after
    this.open++
    try {
      while (!signal.aborted) {
        if (this.failure) throw this.failure
        const group = this.lines.slice(at, at + 500)
        if (group.length === 0) await this.#next(signal)
        at += group.length
        const wanted = group.filter((line) => filter.nodeId === undefined || line.nodeId === filter.nodeId)
        if (wanted.length > 0) yield wanted
      }
    } finally {
      this.open--
    }
  }

  #next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#listeners.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#listeners.add(done)
      signal.addEventListener('abort', done)
    })
  }
}
