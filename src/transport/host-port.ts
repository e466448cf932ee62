import { isIPv6 } from 'node:net'

/** A network address to listen at or to dial. IPv6 addresses stand without brackets here. */
export interface HostPort {
  host: string
  port: number
}

const HOST_PORT = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^[\]:/?#@\s]+)):(\d{1,5})$/

/**
 * Reads `host:port` or `[v6]:port`.
 * @returns undefined when the text has another form, an IPv6 address lacks its brackets, or the port is not in 1 to 65535
 */
export function parseHostPort(text: string): HostPort | undefined {
  const match = HOST_PORT.exec(text)
  if (!match) return undefined
  const [, v6, name] = match
  if (v6 !== undefined && !isIPv6(v6)) return undefined
  const port = Number(match[3])
  if (port < 1 || port > 65_535) return undefined
  return { host: (v6 ?? name) as string, port }
}

/** `host:port`, with IPv6 addresses in brackets (RFC 3986 section 3.2.2). */
export function formatHostPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}
