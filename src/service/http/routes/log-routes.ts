import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import { isNodeId } from '../../../base/identity.ts'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { LOG_FILTER, LOG_PAGE, LOG_SOURCES, LOGS_CLEARED } from '../log-wire.ts'
import { answers, WIRE } from '../wire.ts'

/** How long another node is waited for. */
const ANSWER_MS_MAX = 10_000

const NODE_ID = z
  .string()
  .refine(isNodeId, 'is no node id')
  // To the router these are not names.
  .refine(
    (id) => !['coordinator', 'worker', 'local', 'remote'].includes(id),
    'must be the id of one node, not a role or place',
  )
  .optional()
  .register(WIRE, { description: 'Whose log; the node that is asked when absent' })
const WHOSE = z.strictObject({ node_id: NODE_ID })

/** The log lines that nodes keep in memory. Those of another node are asked for there, each time. */
export function registerLogRoutes(app: App, { clock, membership, calls }: RouteNeeds): void {
  const tags = ['logs']
  const self = (): string => membership.self().record.nodeId

  /** Asks the log collector of that node on behalf of the caller. */
  async function ask<S extends z.ZodType>(
    method: string,
    params: object,
    { nodeId = self(), request, answer }: { nodeId: string | undefined; request: FastifyRequest; answer: S },
  ): Promise<{ nodeId: string; result: z.infer<S> }> {
    const context = { caller: request.caller, traceId: request.id, deadlineMs: clock.nowMs() + ANSWER_MS_MAX }
    const told = await calls.call(`log_collector/${method}`, params, context, nodeId === self() ? 'local' : nodeId)
    const { data: result, error } = answer.safeParse(told)
    if (!error) return { nodeId, result: result as z.infer<S> }
    throw new RpcError(
      'P2P_RPC_INVALID_RESULT',
      `Node ${nodeId} answered log_collector/${method} with something else`,
      {
        node: nodeId,
      },
    )
  }

  /** Nodes whose log can be asked for. */
  const nodes = (): string[] =>
    membership
      .members()
      .filter(({ status }) => status === 'alive' || status === 'suspect')
      .map(({ record }) => record.nodeId)

  app.route({
    method: 'GET',
    url: '/api/logs',
    schema: {
      operationId: 'listLogs',
      summary: 'The last log lines of a node, newest first',
      description:
        'Each node keeps its last `max_log_entries` lines in memory. Lines that come meanwhile shift the pages of `offset`; `until` holds them still.',
      tags,
      querystring: z.strictObject({ node_id: NODE_ID, ...LOG_FILTER.shape }),
      response: answers({ 200: LOG_PAGE.extend({ nodes: z.array(z.string()) }) }),
    },
    handler: async (request) => {
      const { node_id: asked, ...filter } = request.query
      const { nodeId, result } = await ask('get_logs', filter, { nodeId: asked, request, answer: LOG_PAGE })
      // Whose lines they are is known from whom they came from.
      const logs = result.logs.map((line) => ({ ...line, node_id: nodeId }))
      return { ...result, logs, nodes: nodes() }
    },
  })

  app.route({
    method: 'GET',
    url: '/api/logs/sources',
    schema: {
      operationId: 'listLogSources',
      summary: 'What log lines can be chosen by: nodes, loggers, levels',
      tags,
      querystring: WHOSE,
      response: answers({ 200: LOG_SOURCES.extend({ nodes: z.array(z.string()) }) }),
    },
    handler: async (request) => {
      const { result } = await ask(
        'get_log_sources',
        {},
        { nodeId: request.query.node_id, request, answer: LOG_SOURCES },
      )
      return { nodes: nodes(), ...result }
    },
  })

  app.route({
    method: 'DELETE',
    url: '/api/logs',
    schema: {
      operationId: 'clearLogs',
      summary: 'Makes a node forget the log lines it keeps in memory; who did it is its next line',
      tags,
      querystring: WHOSE,
      response: answers({ 200: LOGS_CLEARED }),
    },
    handler: async (request) => {
      const { nodeId, result } = await ask(
        'clear_logs',
        {},
        { nodeId: request.query.node_id, request, answer: LOGS_CLEARED },
      )
      return { ...result, node: nodeId }
    },
  })
}
