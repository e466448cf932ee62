export {
  createDnsServer,
  type DnsServer,
  type DnsServerNeeds,
  type DnsServerOptions,
  type DnsStats,
} from './dns-server.ts'
