import { z } from 'zod'
import { RpcError } from '../base/errors.ts'
import { type NodeId, type Principal, principalLabel } from '../base/identity.ts'
import { LOG_LEVELS, type Logger } from '../base/log.ts'
import {
  defineService,
  LOG_FILTER,
  LOG_OWNER,
  LOG_PAGE,
  LOG_SOURCES,
  LOGS_CLEARED,
  logFilterOf,
  logLineWire,
  method,
  type MethodCall,
  type ServiceDefinition,
} from '../service/index.ts'
import { BATCH_LINES_MAX, type LogSpool, type LogStore } from '../telemetry/index.ts'
import type { LogMemory, RememberedEntry } from './log-memory.ts'

export interface LogCollectorNeeds {
  memory: LogMemory
  log: Logger
  /** A coordinator's. */
  store?: LogStore | undefined
  spool?: Pick<LogSpool, 'stats'> | undefined
}

export interface LogCollectorOptions {
  nodeId: NodeId
  softwareVersion: string
}

const NOTHING = z.strictObject({})

/** Lines are read one by one as they are stored: none of them can make the batch be refused. */
const BATCH = z.strictObject({
  node_id: z.string().describe('The calling node; it speaks only for itself'),
  epoch: z
    .string()
    .regex(/^[\da-f]{16}$/)
    .describe('The run that numbered the lines'),
  first: z.int().min(1).describe('Number of the first line; the others follow'),
  lost: z.int().min(0).default(0).describe('Lines right before the first one that the node has lost'),
  sent_at: z.number().describe("The node's clock, Unix milliseconds"),
  logs: z
    .array(z.unknown())
    .min(1)
    .max(BATCH_LINES_MAX)
    .describe('Objects of timestamp (Unix milliseconds), level, logger_name, message, fields (JSON text), trace_id'),
})

const ADDED = z.object({
  success: z.literal(true),
  added: z.int().describe('Lines that were not stored before'),
  total_stored: z.int().describe('Lines of the node'),
})

const STATS = z.object({
  memory_lines: z.int().describe('Lines of this node in its memory'),
  spool: z
    .object({ waiting: z.int(), unwritten: z.int().describe('In memory only so far'), bytes: z.int(), lost: z.int() })
    .optional()
    .describe('Lines of this node that no coordinator has acknowledged'),
  store: z
    .object({
      total_logs: z.int(),
      nodes: z.record(z.string(), z.int()).describe('Lines of each node'),
      added: z.int(),
      duplicates: z.int().describe('Lines that were sent again'),
      lost: z.int().describe('Lines that nodes said they had lost'),
      removed: z.int().describe('Lines removed for their age or for want of room'),
      subscribers: z.int(),
      failing: z.boolean(),
    })
    .optional()
    .describe('On a coordinator'),
})

/**
 * The built-in service `log_collector`. On every node it has the last log lines of that node; on a coordinator those of all
 * nodes, which bring them here. It is for people and for coordinators that ask on their behalf: what other nodes' services
 * may do does not include reading this node's log.
 */
export function createLogCollectorService(needs: LogCollectorNeeds, options: LogCollectorOptions): ServiceDefinition {
  const { memory, store } = needs
  const { nodeId } = options
  const log = needs.log.child('Logs')

  const admit = (caller: Principal, name: string): void => {
    if (caller.kind !== 'node' || caller.nodeId === nodeId || caller.role === 'coordinator') return
    throw denied(caller, name, `the log of node ${nodeId} is for people and coordinators`)
  }

  const forget = async (owner: NodeId | undefined, { caller, relayedBy }: MethodCall) => {
    const cleared = store ? await store.clear(owner) : memory.clear()
    if (store && (owner === undefined || owner === nodeId)) memory.clear()
    const node = store ? (owner ?? 'all') : nodeId
    // The first line of what is kept from now on.
    log.warning('Log lines were cleared', {
      by: principalLabel(caller),
      ...(relayedBy !== undefined && { relayed_by: relayedBy }),
      node,
      cleared,
    })
    return { success: true as const, cleared, node }
  }

  return defineService({
    name: 'log_collector',
    version: options.softwareVersion,
    description: store ? 'The log lines of all nodes' : 'The last log lines of this node',
    methods: {
      get_logs: method({
        description: 'Shows log lines, newest first',
        public: true,
        requiredRole: 'viewer',
        params: LOG_FILTER,
        result: LOG_PAGE,
        async handler({ limit, offset, cursor, ...choice }, { caller }) {
          admit(caller, 'get_logs')
          const filter = logFilterOf(choice)
          if (!store) {
            refuseOthers(choice.node_id, nodeId)
            const { entries, total } = memory.find(filter, { offset, limit })
            return { logs: entries.map((entry) => logLine(entry, nodeId)), total, limit, offset }
          }
          const { lines, total, latest } = await store.query(filter, { limit, offset, before: cursor })
          const next = offset + lines.length < total ? (lines.at(-1)?.cursor ?? null) : null
          return { logs: lines.map(logLineWire), total, limit, offset, next_cursor: next, latest_cursor: latest }
        },
      }),
      get_log_sources: method({
        description: 'Tells which nodes and loggers wrote the lines that are kept, and which levels there are',
        public: true,
        requiredRole: 'viewer',
        params: LOG_OWNER,
        result: LOG_SOURCES,
        async handler({ node_id: owner }, { caller }) {
          admit(caller, 'get_log_sources')
          if (store) return { ...(await store.sources(owner)), log_levels: [...LOG_LEVELS] }
          refuseOthers(owner, nodeId)
          return { nodes: [nodeId], loggers: memory.loggers(), log_levels: [...LOG_LEVELS] }
        },
      }),
      clear_logs: method({
        description: 'Removes log lines: of one node, or all that are kept here',
        public: true,
        requiredRole: 'admin',
        timeoutMs: 120_000,
        params: LOG_OWNER,
        result: LOGS_CLEARED,
        handler({ node_id: owner }, call) {
          admit(call.caller, 'clear_logs')
          if (!store) refuseOthers(owner, nodeId)
          return forget(owner, call)
        },
      }),
      get_stats: method({
        description: 'Tells how many lines are kept, wait, and were lost',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: STATS,
        handler(_params, { caller }) {
          admit(caller, 'get_stats')
          return {
            memory_lines: memory.count,
            ...(needs.spool && { spool: spoolStats(needs.spool) }),
            ...(store && { store: storeStats(store) }),
          }
        },
      }),
      ...(store && { add_logs: addLogs(store) }),
    },
  })
}

/** How lines come to a coordinator. Only a node itself may speak for a node, not a service on it, and no person. */
function addLogs(store: LogStore) {
  return method({
    description: "Stores a node's log lines: answered when they are on disk",
    public: true,
    requiredRole: 'admin',
    params: BATCH,
    result: ADDED,
    async handler({ node_id: claimed, epoch, first, lost, sent_at: sentAtMs, logs: lines }, { caller }) {
      if (caller.kind !== 'node' || caller.service !== undefined || caller.nodeId !== claimed) {
        throw denied(caller, 'add_logs', 'only a node itself brings its lines')
      }
      const { added, total } = await store.add(caller.nodeId, { epoch, first, lost, sentAtMs, lines })
      return { success: true as const, added, total_stored: total }
    },
  })
}

function spoolStats(spool: Pick<LogSpool, 'stats'>) {
  const { waiting, unwritten, bytesOnDisk: bytes, lost } = spool.stats()
  return { waiting, unwritten, bytes, lost }
}

function storeStats(store: LogStore) {
  const { total, nodes, added, duplicates, lost, removed, subscribers, isFailing } = store.stats()
  return { total_logs: total, nodes, added, duplicates, lost, removed, subscribers, failing: isFailing }
}

function denied(caller: Principal, name: string, why: string): RpcError {
  const message = `${principalLabel(caller)} may not call log_collector/${name}: ${why}`
  return new RpcError('P2P_RPC_ACCESS_DENIED', message, { method: `log_collector/${name}` })
}

function refuseOthers(asked: NodeId | undefined, nodeId: NodeId): void {
  if (asked === undefined || asked === nodeId) return
  const message = `Node ${nodeId} has its own log lines only, not those of ${asked}: ask a coordinator`
  throw new RpcError('P2P_HTTP_COORDINATOR_ONLY', message, { node: asked })
}

/** The entry with the field names of the Python program. */
function logLine({ timeMs, level, logger, message, fields, traceId }: RememberedEntry, nodeId: NodeId) {
  const place = { timestamp: new Date(timeMs).toISOString(), node_id: nodeId, level, logger_name: logger }
  return { ...place, message, fields, ...(traceId !== undefined && { trace_id: traceId }) }
}
