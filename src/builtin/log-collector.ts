import { z } from 'zod'
import { RpcError } from '../base/errors.ts'
import { type NodeId, type Principal, principalLabel } from '../base/identity.ts'
import { LOG_LEVELS, type LogEntry, type Logger } from '../base/log.ts'
import {
  defineService,
  LOG_FILTER,
  LOG_PAGE,
  LOG_SOURCES,
  LOGS_CLEARED,
  method,
  type ServiceDefinition,
} from '../service/index.ts'
import type { LogMemory } from './log-memory.ts'

export interface LogCollectorNeeds {
  memory: LogMemory
  log: Logger
}

export interface LogCollectorOptions {
  nodeId: NodeId
  softwareVersion: string
}

const NOTHING = z.strictObject({})

/**
 * The built-in service `log_collector`: the last log lines of this node, for people and for the coordinator that asks
 * on their behalf. What other nodes' services may do does not include reading this node's log.
 */
export function createLogCollectorService(needs: LogCollectorNeeds, options: LogCollectorOptions): ServiceDefinition {
  const { memory } = needs
  const { nodeId } = options
  const log = needs.log.child('Logs')

  const admit = (caller: Principal, name: string): void => {
    if (caller.kind !== 'node' || caller.nodeId === nodeId || caller.role === 'coordinator') return
    throw new RpcError(
      'P2P_RPC_ACCESS_DENIED',
      `${principalLabel(caller)} may not call log_collector/${name}: the log of node ${nodeId} is for people and coordinators`,
      { method: `log_collector/${name}` },
    )
  }

  return defineService({
    name: 'log_collector',
    version: options.softwareVersion,
    description: 'The last log lines of this node',
    methods: {
      get_logs: method({
        description: 'Shows log lines of this node, newest first',
        public: true,
        requiredRole: 'viewer',
        params: LOG_FILTER,
        result: LOG_PAGE,
        handler({ level, logger_name: logger, search: text, since, until, limit, offset }, { caller }) {
          admit(caller, 'get_logs')
          const filter = { level, logger, text, sinceMs: momentMs(since), untilMs: momentMs(until) }
          const { entries, total } = memory.find(filter, { offset, limit })
          return { logs: entries.map((entry) => logLine(entry, nodeId)), total, limit, offset }
        },
      }),
      get_log_sources: method({
        description: 'Tells which loggers wrote the lines that are kept, and which levels there are',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: LOG_SOURCES,
        handler(_params, { caller }) {
          admit(caller, 'get_log_sources')
          return { loggers: memory.loggers(), log_levels: [...LOG_LEVELS] }
        },
      }),
      clear_logs: method({
        description: 'Forgets the log lines of this node that are kept in memory',
        public: true,
        requiredRole: 'admin',
        params: NOTHING,
        result: LOGS_CLEARED,
        handler(_params, { caller, relayedBy }) {
          admit(caller, 'clear_logs')
          const cleared = memory.clear()
          // The first line of what is kept from now on.
          log.warning('The log lines in memory were cleared', {
            by: principalLabel(caller),
            ...(relayedBy !== undefined && { relayed_by: relayedBy }),
            cleared,
          })
          return { success: true as const, cleared, node: nodeId }
        },
      }),
    },
  })
}

function momentMs(iso: string | undefined): number | undefined {
  return iso === undefined ? undefined : Date.parse(iso)
}

/** The entry with the field names of the Python program. */
function logLine({ timeMs, level, logger, message, fields }: LogEntry, nodeId: NodeId) {
  return { timestamp: new Date(timeMs).toISOString(), node_id: nodeId, level, logger_name: logger, message, fields }
}
