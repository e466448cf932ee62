import { RpcError } from '../../base/errors.ts'
import { type Principal, principalLabel } from '../../base/identity.ts'

/** Requests that stay open to wait for changes are few: each holds a connection and costs something at every change. */
export interface WatcherSlots {
  /**
   * One more; the slot is given back by disposing of it, once.
   * @throws {RpcError} P2P_HTTP_TOO_MANY_WATCHERS: the caller has its share; P2P_RPC_OVERLOADED: the node has no more
   */
  take(caller: Principal): Disposable
}

export interface WatcherLimits {
  perCaller: number
  overall: number
}

/** A person's share is for a browser's tabs, some terminals and scripts at once; the whole for a team of them. */
export const WATCHER_LIMITS: WatcherLimits = { perCaller: 32, overall: 256 }
const RETRY_AFTER_S = 5

export function createWatcherSlots(limits: WatcherLimits = WATCHER_LIMITS): WatcherSlots {
  const taken = new Map<string, number>()
  let total = 0
  return {
    take(caller) {
      const key = principalLabel(caller)
      const own = taken.get(key) ?? 0
      const details = { retry_after_s: RETRY_AFTER_S }
      if (own >= limits.perCaller) {
        const message = `${key} already waits for changes with ${own} requests, the most there may be; end some of them`
        throw new RpcError('P2P_HTTP_TOO_MANY_WATCHERS', message, { ...details, limit: limits.perCaller })
      }
      if (total >= limits.overall) {
        const message = `${total} requests already wait for changes here, the most there may be; ask another node`
        throw new RpcError('P2P_RPC_OVERLOADED', message, { ...details, limit: limits.overall })
      }
      taken.set(key, own + 1)
      total++
      return {
        [Symbol.dispose]() {
          const left = (taken.get(key) ?? 0) - 1
          if (left > 0) taken.set(key, left)
          else taken.delete(key)
          total--
        },
      }
    },
  }
}
