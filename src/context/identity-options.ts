import { hostname } from 'node:os'
import type { NodeConfig } from '../config/index.ts'
import { parseHostPort } from '../transport/index.ts'
import { announcedHosts } from './announced-addresses.ts'

/** The vault's keys for what the Python program kept in files of these names. */
export const entry = (name: string): string => `certs/${name}`

/** Where the node's certificate is kept, and what it should name, asked for again at every look at the interfaces. */
export function identityOptions(config: NodeConfig) {
  const hosts = (): string[] => announcedHosts(config).flatMap((address) => parseHostPort(address)?.host ?? [])
  const isAddress = (host: string): boolean => /^[\d.]+$|:/.test(host)
  const { certificate, key, caCertificate } = config.certificateEntries
  return {
    entries: { certificate: entry(certificate), key: entry(key), trust: entry(caCertificate) },
    dnsNames: () => [...new Set([hostname(), ...hosts().filter((host) => !isAddress(host))])],
    ipAddresses: () => hosts().filter(isAddress),
  }
}
