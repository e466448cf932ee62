import type { NodeIdentity, Principal } from '../../../../src/base/identity.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import type { BundleManifest } from '../../../../src/deploy/bundle/bundle-manifest.ts'
import {
  createProgramAgent,
  type ProgramAgent,
  type ProgramControl,
  type ProgramPointer,
} from '../../../../src/deploy/index.ts'
import type { ProgramVersion } from '../../../../src/deploy/program/program-pointer.ts'
import type { Caller } from '../../../../src/service/index.ts'
import { SimulatedClock, SimulatedRandom } from '../../../../src/testing/index.ts'
import { callMethod } from '../agent/node.ts'
import { serviceRecord, StubMembers } from '../members.ts'

export const NEW = { digest: 'b'.repeat(64), version: '3.0.1' }
export const FROM_UPGRADES: Principal = { kind: 'node', nodeId: 'c1', role: 'coordinator', service: 'upgrades' }
const WORKER: NodeIdentity = { cluster: 'test', role: 'worker', nodeId: 'w1' }

export interface Told {
  node_id: string
  version: string
  upgrade?: { key: string; state: string; reason?: string }
}

/** A worker's program agent on a simulated clock; its process is restarted by hand. */
export class ProgramNode {
  readonly clock = new SimulatedClock()
  readonly members = new StubMembers('w1', () => this.clock.wallMs())
  readonly told: Told[] = []
  readonly kept: string[][] = []
  readonly restarts: string[] = []
  pointer: ProgramPointer | undefined
  running: ProgramVersion | null = null
  /** Why this process cannot be replaced, a program cannot be had, prepared or written down. */
  faults: { replace?: Error; fetch?: Error; prepare?: Error; save?: Error } = {}
  manifest: Partial<BundleManifest> = { kind: 'program', service: 'p2p-core', version: NEW.version }
  agent!: ProgramAgent

  async start(): Promise<this> {
    this.members.set('w1', 'worker')
    this.members.set('c1', 'coordinator', { services: [serviceRecord('upgrades')] })
    this.agent = createProgramAgent(
      {
        clock: this.clock,
        random: new SimulatedRandom(1),
        log: silentLogger,
        membership: this.members,
        calls: { call: (_method, params) => Promise.resolve(void this.told.push(params as Told)) } as Caller,
        control: this.#control(),
        programs: {
          unpacked: async (digest) => {
            if (this.faults.fetch) throw this.faults.fetch
            return { folder: `/programs/${digest}`, manifest: this.manifest as BundleManifest }
          },
          keepOnly: async (wanted) => void this.kept.push([...wanted()]),
        },
      },
      { identity: WORKER, softwareVersion: this.running?.version ?? '3.0.0' },
    )
    await this.agent.start(new AbortController().signal)
    return this
  }

  /** The process has begun anew, with the program given. */
  async restart(running: ProgramVersion | null, pointer: ProgramPointer): Promise<void> {
    await this.agent.stop()
    this.running = running
    this.pointer = pointer
    await this.start()
  }

  order(upgrade = 'u1', caller: Principal = FROM_UPGRADES): Promise<unknown> {
    return callMethod(this.agent.service, 'switch', { upgrade, ...NEW }, caller)
  }

  /** What coordinators heard last of the upgrade. */
  get state(): string | undefined {
    return this.told.at(-1)?.upgrade?.state
  }

  #control(): ProgramControl {
    const running = (): ProgramVersion | null => this.running
    return {
      get running() {
        return running()
      },
      installed: '3.0.0',
      pointer: () => this.pointer,
      save: (pointer) => {
        if (this.faults.save) throw this.faults.save
        this.pointer = pointer
      },
      requireReplaceable: () => {
        if (this.faults.replace) throw this.faults.replace
      },
      prepare: async () => {
        if (this.faults.prepare) throw this.faults.prepare
      },
      restart: (reason) => void this.restarts.push(reason),
    }
  }
}
