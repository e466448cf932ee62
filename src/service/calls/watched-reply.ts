import type { Reply } from '../link/call-link.ts'
import { isStream } from './raw-json.ts'

/**
 * As `reply`, and tells when the call is over: with its answer; of a stream, when its last item was given out, when it failed,
 * or when its reader wants no more.
 * @param onEnd called once, before the reply is told; its argument is the failure, undefined when there was none
 */
export function watchedReply(reply: Reply, onEnd: (failure: unknown) => void): Reply {
  return {
    resolve: (value) => {
      if (isStream(value)) {
        reply.resolve(watched(value[Symbol.asyncIterator](), onEnd))
        return
      }
      onEnd(undefined)
      reply.resolve(value)
    },
    reject: (error) => {
      onEnd(error)
      reply.reject(error)
    },
  }
}

function watched(items: AsyncIterator<unknown>, onEnd: (failure: unknown) => void): AsyncIterableIterator<unknown> {
  let hasEnded = false
  const end = (failure?: unknown): void => {
    if (hasEnded) return
    hasEnded = true
    onEnd(failure)
  }
  return {
    next: async () => {
      try {
        const next = await items.next()
        if (next.done) end()
        return next
      } catch (error) {
        end(error)
        throw error
      }
    },
    return: async () => {
      end()
      return (await items.return?.()) ?? { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
