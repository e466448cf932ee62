import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../../base/assert.ts'
import { messageOf } from '../../../base/errors.ts'
import type { EventCalls } from '../../events/thread/event-messages.ts'
import { EventTable } from '../../events/thread/event-table.ts'
import type { ReaderCalls, ThreadFailure, ThreadRequest, WriterCalls } from './messages.ts'
import { LineReader } from './reader.ts'
import { LineWriter } from './writer.ts'

/*
 * Entry of the two threads of a coordinator's log store, and of the one of its timeline: SQLite works synchronously, so it
 * works here. `workerData` says which one this is. Requests are answered in the order they come.
 */

type Handlers<Calls extends Record<string, { request: unknown; answer: unknown }>> = {
  [Type in keyof Calls]: (request: Calls[Type]['request']) => Calls[Type]['answer']
}

const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_NOTADB = 26

function writerHandlers(): Handlers<WriterCalls> {
  let writer: LineWriter
  return {
    open({ path, bytesMax }) {
      writer = new LineWriter(path, bytesMax)
      return writer.state()
    },
    commit: ({ jobs }) => writer.commit(jobs),
    expire: ({ beforeMs }) => writer.expire(beforeMs),
    clear: ({ nodeId, upTo }) => writer.clear(nodeId, upTo),
    close: () => {
      writer.close()
      return null
    },
  }
}

function readerHandlers(): Handlers<ReaderCalls> {
  let reader: LineReader
  return {
    open({ path, wordsPath }) {
      reader = new LineReader(path, wordsPath)
      return null
    },
    query: ({ filter, page }) => reader.query(filter, page),
    after: ({ filter, after, limit }) => reader.after(filter, after, limit),
    sources: ({ nodeId }) => reader.sources(nodeId),
    index: () => ({ isDone: !reader.step() }),
    close: () => {
      reader.close()
      return null
    },
  }
}

function eventHandlers(): Handlers<EventCalls> {
  let table: EventTable
  return {
    open({ path }) {
      table = new EventTable(path)
      return table.contents()
    },
    commit: (request) => table.commit(request),
    query: (request) => table.query(request),
    after: (request) => table.after(request),
    close: () => {
      table.close()
      return null
    },
  }
}

function failureOf(error: unknown): ThreadFailure {
  const message = messageOf(error)
  // The low byte is the primary code (SQLite, "Result and Error Codes").
  const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff
  if (code === SQLITE_FULL) return { kind: 'full', message }
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) return { kind: 'damaged', message }
  return { kind: 'failed', message }
}

const KINDS: Record<string, () => object> = { writer: writerHandlers, reader: readerHandlers, events: eventHandlers }
const handlers = KINDS[workerData as string]?.() as Record<string, (request: unknown) => unknown>
const port = parentPort
assert(port, 'this module is the entry of a thread')
port.on('message', ({ id, type, request }: ThreadRequest) => {
  try {
    port.postMessage({ id, answer: handlers[type]?.(request) })
  } catch (error) {
    port.postMessage({ id, failure: failureOf(error) })
  }
})
