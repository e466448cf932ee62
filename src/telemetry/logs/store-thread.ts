import { Worker } from 'node:worker_threads'
import { StorageError } from '../../base/errors.ts'
import type { ThreadAnswer, ThreadFailure } from './thread/messages.ts'

type AnyCalls = Record<string, { request: unknown; answer: unknown }>

/** One thread of the store. A request is answered, or rejects with a StorageError; after `end` every request rejects. */
export interface StoreThread<Calls extends AnyCalls> {
  /** Requests that wait for their answers. */
  readonly pending: number
  /** @throws {StorageError} P2P_STORAGE_FULL, P2P_STORAGE_DAMAGED, P2P_STORAGE_FAILED; P2P_STORAGE_CLOSED when the thread ended */
  ask<Type extends keyof Calls & string>(type: Type, request: Calls[Type]['request']): Promise<Calls[Type]['answer']>
  /** Closes the thread's files and ends it. Idempotent. */
  end(): Promise<void>
}

/** What a thread works on: the lines, the words of them, or the timeline of events. */
export type ThreadKind = 'writer' | 'reader' | 'events'

/** Opens a thread: the real one, or in tests another. */
export type OpenThread = <Calls extends AnyCalls>(kind: ThreadKind) => StoreThread<Calls>

const CODES = { full: 'P2P_STORAGE_FULL', damaged: 'P2P_STORAGE_DAMAGED', failed: 'P2P_STORAGE_FAILED' } as const
/** SQLite keeps its pages outside of the heap; what is in it are the lines of one request. */
const HEAP_MB_MAX = 256

/** @param url of the threads' entry, `thread/main.ts` or its build */
export function storeThreads(url: URL): OpenThread {
  return (kind) => new WorkerThread(url, kind)
}

interface Waiting {
  resolve: (answer: never) => void
  reject: (error: Error) => void
}

class WorkerThread<Calls extends AnyCalls> implements StoreThread<Calls> {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #ending: Promise<void> | undefined
  #ended: StorageError | undefined

  constructor(url: URL, kind: ThreadKind) {
    this.#worker = new Worker(url, {
      workerData: kind,
      name: `store-${kind}`,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX, maxYoungGenerationSizeMb: 8 },
      // Node 24 warns of node:sqlite. Nothing else of the process's own flags is needed.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    })
    this.#worker.on('message', (message: ThreadAnswer) => this.#onAnswer(message))
    this.#worker.on('error', (error: Error) => this.#onEnd(`it failed: ${error.message}`, error))
    this.#worker.on('exit', () => this.#onEnd('it has ended'))
    this.#worker.unref()
  }

  get pending(): number {
    return this.#waiting.size
  }

  ask<Type extends keyof Calls & string>(type: Type, request: Calls[Type]['request']): Promise<Calls[Type]['answer']> {
    if (this.#ended) return Promise.reject(this.#ended)
    const { promise, resolve, reject } = Promise.withResolvers<Calls[Type]['answer']>()
    const id = this.#nextId++
    this.#waiting.set(id, { resolve, reject })
    // Only an answer that is waited for keeps the process alive.
    this.#worker.ref()
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
    this.#worker.postMessage({ id, type, request })
    return promise
  }

  end(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    if (!this.#ended) await this.ask('close', null).catch(() => {})
    await this.#worker.terminate()
  }

  #onAnswer(message: ThreadAnswer): void {
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (this.#waiting.size === 0) this.#worker.unref()
    if ('failure' in message) waiting?.reject(errorOf(message.failure))
    else waiting?.resolve(message.answer as never)
  }

  #onEnd(why: string, cause?: Error): void {
    this.#ended ??= new StorageError('P2P_STORAGE_CLOSED', `The store's thread does not answer: ${why}`, {}, { cause })
    for (const { reject } of this.#waiting.values()) reject(this.#ended)
    this.#waiting.clear()
  }
}

function errorOf({ kind, message }: ThreadFailure): StorageError {
  return new StorageError(CODES[kind], `The store failed: ${message}`)
}
