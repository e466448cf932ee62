import { BaseService, type MethodCall, serviceMethod, type ServiceProxy, z } from 'p2p-core/service'
import { Disks, disks } from './disks.ts'
import { Network, network } from './network.ts'
import { Processes, processes } from './processes.ts'
import { Summary, summary } from './summary.ts'

const None = z.object({})
const Top = z.object({ top: z.number().int().min(1).max(100).default(10).describe('How many of each') })

/** Host inventory: looks at the machine when asked, starts no program, changes nothing. */
export class Run extends BaseService {
  static readonly SERVICE_NAME = 'inventory'

  constructor(serviceName: string, proxyClient?: ServiceProxy) {
    super(serviceName, proxyClient)
    this.info.version = '1.0.0'
    this.info.description = 'What this machine is: system, processors, memory, disks, network, and what runs on it.'
  }

  @serviceMethod({
    description: 'System, processors, memory, uptime and software of this machine',
    public: true,
    requiredRole: 'viewer',
    params: None,
    result: Summary,
    cacheTtlMs: 5_000,
  })
  summary() {
    return summary()
  }

  @serviceMethod({
    description: 'File systems of this machine and how full they are',
    public: true,
    requiredRole: 'viewer',
    params: None,
    result: Disks,
    cacheTtlMs: 5_000,
  })
  disks() {
    return disks()
  }

  @serviceMethod({
    description: 'Network interfaces with addresses and traffic, gateways and name servers',
    public: true,
    requiredRole: 'viewer',
    params: None,
    result: Network,
    cacheTtlMs: 2_000,
  })
  network() {
    return network()
  }

  @serviceMethod({
    description: 'Processes that use most processor time and memory (Linux)',
    public: true,
    requiredRole: 'operator',
    params: Top,
    result: Processes,
    cacheTtlMs: 2_000,
  })
  processes({ top }: z.infer<typeof Top>, call: MethodCall) {
    return processes(top, call.signal)
  }
}
