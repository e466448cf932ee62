import type { EventHub } from '../events/event-hub.ts'
import type { OwnCaller } from '../calls/router.ts'
import type { Files } from '../../base/files.ts'
import type { NodeIdentity } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'
import type { Caller } from '../definition/descriptor.ts'
import type { LogBudget } from './log-budget.ts'

/** How this program is started as the host of a service, in a process or a thread. */
export interface HostProgram {
  /** Path of the module that is run. */
  entry: string
  /** Options of Node for it. */
  nodeArgs: readonly string[]
  /** Files and directories it is made of: what a service's process must be able to read. */
  readable: readonly string[]
}

/** What the ways of running services share. */
export interface DriverNeeds {
  clock: Clock
  log: Logger
  files: Files
  identity: NodeIdentity
  /** Runs the calls that services make. */
  caller: Caller & OwnCaller
  events: EventHub
  /** What the services may write to the node's log. */
  logBudget: LogBudget
}

export interface DriverOptions {
  program: HostProgram
  /** Of the node: everything it keeps; services see nothing of it. */
  stateDirectory: string
  sdkUrl: string
  callTimeoutMs: number
}
