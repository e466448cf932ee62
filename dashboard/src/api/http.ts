/** A refusal of the node (RFC 9457), or that it could not be reached (`status` 0). */
export class ApiError extends Error {
  readonly status: number
  /** Stable, for programs: `P2P_…`. */
  readonly code: string

  constructor(status: number, code: string, detail: string) {
    super(detail)
    this.name = 'ApiError'
    this.status = status
    this.code = code
  }
}

/** An answer of the node: its body, and the headers a caller may want. */
export interface Answer<T> {
  body: T
  headers: Headers
}

let bearer: string | undefined
let onUnauthorized: () => void = () => {}

/** The access token to send from now on; undefined where a cookie says who we are. */
export function setBearer(token: string | undefined): void {
  bearer = token
}

/** Called when the node no longer knows us. */
export function whenUnauthorized(listener: () => void): void {
  onUnauthorized = listener
}

/**
 * Asks the node this page came from.
 * @param init `body` is sent as JSON; `isLogin`: a 401 is an answer, not the end of the session
 * @throws {ApiError}
 */
export async function request<T>(
  path: string,
  init: { method?: string; body?: unknown; signal?: AbortSignal; isLogin?: boolean } = {},
): Promise<Answer<T>> {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (bearer !== undefined) headers['authorization'] = `Bearer ${bearer}`
  if (init.body !== undefined) headers['content-type'] = 'application/json'
  let response: Response
  try {
    response = await fetch(path, {
      method: init.method ?? 'GET',
      headers,
      credentials: 'same-origin',
      ...(init.body !== undefined && { body: JSON.stringify(init.body) }),
      ...(init.signal && { signal: init.signal }),
    })
  } catch (error) {
    if (init.signal?.aborted) throw error
    throw new ApiError(0, 'UNREACHABLE', 'The node does not answer. Is it still running?')
  }
  const body = response.status === 204 ? undefined : await response.json().catch(() => undefined)
  if (response.ok) return { body: body as T, headers: response.headers }
  if (response.status === 401 && !init.isLogin) onUnauthorized()
  const problem = body as { code?: string; detail?: string } | undefined
  throw new ApiError(
    response.status,
    problem?.code ?? 'UNKNOWN',
    problem?.detail ?? `The node answered ${response.status}`,
  )
}

/** The body of a GET. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request<T>(path, signal ? { signal } : {})).body
}

/** The body of a request that changes something. */
export async function send<T = void>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
  return (await request<T>(path, { method, ...(body !== undefined && { body }) })).body
}

/** The sentence to show for whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
