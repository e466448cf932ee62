import { ApiError } from './http.ts'

const TOO_MANY_REQUESTS = 429

/** The node said no and would say it again; unlike one that is busy, failed, or was not reached. */
export function isRefused(error: unknown): boolean {
  return error instanceof ApiError && error.status > 0 && error.status < 500 && error.status !== TOO_MANY_REQUESTS
}

/** A `refetchInterval` that ends at a refusal alone: a line that is back is noticed by asking. */
export function every(ms: number): (query: { state: { error: Error | null } }) => number | false {
  return ({ state }) => (isRefused(state.error) ? false : ms)
}
