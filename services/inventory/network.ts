import { getServers } from 'node:dns'
import { readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { z } from 'p2p-core/service'

export const Network = z.object({
  interfaces: z.array(
    z.object({
      name: z.string(),
      mac: z.string(),
      is_internal: z.boolean(),
      addresses: z.array(z.string()).describe('With the length of the network prefix'),
      state: z.string().optional().describe('Linux: up, down, unknown …'),
      speed_mbit: z.number().optional().describe('Linux, where the driver tells'),
      received_bytes: z.number().optional().describe('Linux: since the interface exists'),
      sent_bytes: z.number().optional(),
    }),
  ),
  default_gateways: z.array(z.object({ interface: z.string(), address: z.string() })).describe('Linux, IPv4'),
  dns_servers: z.array(z.string()),
})

/** The interfaces of this machine that are up, and where its packets go. */
export async function network(): Promise<z.infer<typeof Network>> {
  const named = Object.entries(networkInterfaces())
  return {
    interfaces: await Promise.all(
      named.map(async ([name, addresses = []]) => ({
        name,
        mac: addresses[0]?.mac ?? '',
        is_internal: addresses.every(({ internal }) => internal),
        addresses: addresses.map(({ cidr, address }) => cidr ?? address),
        ...(await kernelFacts(name)),
      })),
    ),
    default_gateways: parseGateways(await readFile('/proc/net/route', 'utf8').catch(() => '')),
    dns_servers: getServers(),
  }
}

async function kernelFacts(name: string) {
  const read = (fact: string): Promise<string | undefined> =>
    readFile(`/sys/class/net/${name}/${fact}`, 'utf8').then(
      (text) => text.trim(),
      () => undefined,
    )
  const facts = ['operstate', 'speed', 'statistics/rx_bytes', 'statistics/tx_bytes'].map(read)
  const [state, speed, received, sent] = await Promise.all(facts)
  return {
    ...(state && { state }),
    // A link that is down, or virtual, says -1 or fails.
    ...(Number(speed) > 0 && { speed_mbit: Number(speed) }),
    ...(received && { received_bytes: Number(received) }),
    ...(sent && { sent_bytes: Number(sent) }),
  }
}

/** Routes to 0.0.0.0/0 in /proc/net/route, whose addresses are hexadecimal, last byte first. */
export function parseGateways(routes: string): { interface: string; address: string }[] {
  return routes.split('\n').flatMap((line) => {
    const [name = '', destination, gateway = '', , , , , mask] = line.split('\t')
    if (destination !== '00000000' || mask !== '00000000' || !/^[0-9A-F]{8}$/.test(gateway)) return []
    const bytes = gateway.match(/../g) as string[]
    return [
      {
        interface: name,
        address: bytes
          .reverse()
          .map((byte) => Number.parseInt(byte, 16))
          .join('.'),
      },
    ]
  })
}
