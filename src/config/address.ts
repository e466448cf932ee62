import { isIP } from 'node:net'

const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/
const ONLY_DIGITS_AND_DOTS = /^[\d.]+$/

/** An IP address, or a DNS name (RFC 1123 section 2.1) that does not merely look like a mistyped IPv4 address. */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || (HOST_NAME.test(text) && !ONLY_DIGITS_AND_DOTS.test(text))
}

/** Reached by nobody but this machine (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3). */
export function isLoopback(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}

/** `host:port` as it is dialled and shown: IPv6 in brackets (RFC 3986 section 3.2.2). */
export function formatAddress(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * The normal form of `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`.
 * @returns `host:port`, or undefined when it is none of these (an IPv6 address without brackets is ambiguous)
 */
export function normalAddress(text: string, defaultPort: number): string | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text.trim())
  if (!match) return undefined
  const [, v6, other, portText] = match
  const port = portText === undefined ? defaultPort : Number(portText)
  const host = v6 ?? (other as string)
  if (port < 1 || port > 65_535) return undefined
  if (v6 === undefined ? !isHost(host) : isIP(host) !== 6) return undefined
  return formatAddress(host.toLowerCase(), port)
}
