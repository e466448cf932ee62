import type { NodeId, NodeIdentity, NodeRole } from '../base/identity.ts'
import { silentLogger } from '../base/log.ts'
import type { ReleasablePeers } from '../base/peer.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import type { Gossip } from '../network/index.ts'
import { createServiceManager, defineService, type ServiceDefinition } from '../service/index.ts'
import type { ServiceProxy } from '../service/sdk/index.ts'
import { SimulatedDisk } from './simulated-disk.ts'

/** Where a simulated service runs. Its waiting and its chance must come from here, or a run does not repeat. */
export interface SimulatedPlace {
  nodeId: NodeId
  role: NodeRole
  /** Of this process: stands still while it is stopped, ends with it. */
  clock: Clock
  random: Random
}

/** What a node runs, made anew for each of its processes: what a service keeps in memory dies with the process. */
export type ServicesOf = (place: SimulatedPlace) => readonly ServiceDefinition[]

/** The services of one simulated process: the production code, all of them in this thread. */
export interface SimulatedServices {
  /** Calls as a service of this node does. */
  readonly proxy: ServiceProxy
  stop(): Promise<void>
}

/** Through it a test calls as a service does. */
const CALLER = 'simulation'

export function startServices(
  needs: { gossip: Gossip; peers: ReleasablePeers; clock: Clock; random: Random },
  identity: NodeIdentity,
  servicesOf: ServicesOf,
): SimulatedServices {
  const { gossip, peers, clock, random } = needs
  const disk = new SimulatedDisk(random)
  const manager = createServiceManager(
    { clock, random, log: silentLogger, files: disk, membership: gossip, peers },
    { identity, sdkUrl: '' },
  )
  let proxy: ServiceProxy | undefined
  const caller = defineService({
    name: CALLER,
    version: '1.0.0',
    description: 'Calls for the test',
    methods: {},
    initialize(service) {
      proxy = service.proxy
    },
  })
  const { nodeId, role } = identity
  for (const service of [caller, ...servicesOf({ nodeId, role, clock, random })]) manager.register(service)
  manager.onChange(() => gossip.update({ services: manager.records() }))
  // A service that cannot start is listed as failed, as on a node; any other failure is a defect and ends the test.
  void manager.start(new AbortController().signal)
  return {
    get proxy() {
      if (!proxy) throw new Error(`The services of ${nodeId} have not started yet: let some time pass.`)
      return proxy
    },
    stop: () => manager.stop(),
  }
}
