import type { IncomingHttpHeaders } from 'node:http'

/** The browser's session: an access token that no script of a page can read. */
const SESSION_COOKIE = 'p2p_session'

/** Life of the token in it, in seconds; the page has it renewed while it is open. */
export const SESSION_TTL_S = 3_600

const COOKIE = new RegExp(`(?:^|;\\s*)${SESSION_COOKIE}=([\\w.-]+)\\s*(?:;|$)`)
/** Sent back by the node's own pages only (RFC 6265bis section 5.6.7). */
const ATTRIBUTES = 'Path=/; HttpOnly; Secure; SameSite=Strict'

export function sessionCookie(token: string, maxAgeS: number): string {
  return `${SESSION_COOKIE}=${token}; Max-Age=${maxAgeS}; ${ATTRIBUTES}`
}

/** Makes the browser forget it. */
export const NO_SESSION_COOKIE = `${SESSION_COOKIE}=; Max-Age=0; ${ATTRIBUTES}`

/**
 * The token in the request's cookie, when the request comes from a page of this very origin. A cookie is sent by the browser
 * whoever makes it ask: pages at another port of the same host are the same site to `SameSite`, so the origin is looked at too.
 */
export function sessionTokenOf(headers: IncomingHttpHeaders): string | undefined {
  const token = headers.cookie === undefined ? undefined : COOKIE.exec(headers.cookie)?.[1]
  return token !== undefined && isFromOwnPage(headers) ? token : undefined
}

/** Whether what the browser says of the asking page, if anything, is that it is one of this origin. */
export function isFromOwnPage(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false
  return headers.origin === undefined || headers.origin === originOf(headers)
}

/** The origin the request was sent to, by its own word. */
export function originOf(headers: IncomingHttpHeaders): string | undefined {
  const host = headers.host ?? (headers as Record<string, unknown>)[':authority']
  return typeof host === 'string' ? `https://${host}` : undefined
}
