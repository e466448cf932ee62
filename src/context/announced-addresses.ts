import type { InterfaceFact } from '../base/interface-fact.ts'
import type { NodeConfig } from '../config/index.ts'
import { localAddresses } from '../network/index.ts'
import { interfaceFacts } from '../platform/index.ts'

/** This machine's interfaces as they are now, and what the operator says of them. */
export function interfacesOf({ interfaceKinds }: NodeConfig): InterfaceFact[] {
  return interfaceFacts().map((fact) => {
    const kind = interfaceKinds[fact.name]
    return kind ? { ...fact, kind } : fact
  })
}

/** `HOST:PORT` under which others may reach this node, best first. */
export function announcedHosts(config: NodeConfig, port = config.port): string[] {
  return localAddresses(interfacesOf(config), {
    bindAddress: config.bindAddress,
    port,
    ...(config.advertiseAddress !== undefined && { advertiseAddresses: [config.advertiseAddress] }),
  })
}
