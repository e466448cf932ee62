import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { NetworkError, RpcError } from '../../../base/errors.ts'
import type { LogReader } from '../../../base/log-line.ts'
import { nearest } from '../../calls/missing-method.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { logEvents } from '../log-events.ts'
import {
  LOG_CHOICE,
  LOG_FILTER,
  LOG_OWNER,
  LOG_PAGE,
  LOG_SOURCES,
  LOGS_CLEARED,
  logFilterOf,
  logLineText,
} from '../log-wire.ts'
import { answers, bodyOf, WIRE } from '../wire.ts'

/** How long a log collector is waited for; removing many lines takes a while. */
const ANSWER_MS_MAX = 10_000
const CLEAR_MS_MAX = 120_000

const CURSOR = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional().register(WIRE, {
  description: 'Begin after the line with this cursor; `Last-Event-ID` wins. Absent: with the next line',
})

/** A coordinator has the lines of all nodes; any other node its own last ones, and asks a coordinator for the rest. */
export function registerLogRoutes(app: App, needs: RouteNeeds): void {
  const { clock, random, membership, calls, logs, feed } = needs
  const tags = ['logs']
  const self = (): string => membership.self().record.nodeId

  /** Asks the log collector that has the lines of that node, on behalf of the caller. */
  async function ask<S extends z.ZodType>(
    method: string,
    params: { node_id?: string | undefined },
    { request, answer, waitMs = ANSWER_MS_MAX }: { request: FastifyRequest; answer: S; waitMs?: number },
  ): Promise<z.infer<S>> {
    const isHere = logs !== undefined || params.node_id === undefined || params.node_id === self()
    const target = isHere ? 'local' : 'coordinator'
    const context = { caller: request.caller, traceId: request.id, deadlineMs: clock.nowMs() + waitMs }
    const told = await calls.call(`log_collector/${method}`, params, context, target)
    const { data: result, error } = answer.safeParse(told)
    if (!error) return result as z.infer<S>
    const message = `The log collector (${target}) answered log_collector/${method} with something else`
    throw new RpcError('P2P_RPC_INVALID_RESULT', message)
  }

  /** Nodes whose lines can be asked for. */
  const nodes = (stored: readonly string[]): string[] => {
    const present = membership.members().map(({ record }) => record.nodeId)
    return [...new Set([...present, ...stored])].sort()
  }

  app.route({
    method: 'GET',
    url: '/api/logs',
    schema: {
      operationId: 'listLogs',
      summary: 'Log lines, newest first',
      description:
        'A coordinator has the lines of all nodes, in the order it stored them, which for the lines of one node is the order they were written in. Any other node has its own last `max_log_entries` lines, and asks a coordinator for those of others. `cursor` pages stay as they are while lines come; those of `offset` shift.',
      tags,
      querystring: LOG_FILTER,
      response: answers({ 200: LOG_PAGE.extend({ nodes: z.array(z.string()) }) }),
    },
    handler: async (request, reply) => {
      if (!logs) {
        const page = await ask('get_logs', request.query, { request, answer: LOG_PAGE })
        return { ...page, nodes: nodes([]) }
      }
      const body = Buffer.from(await pageText(logs, request.query, nodes))
      return reply.type('application/json').send(body as never)
    },
  })

  app.route({
    method: 'GET',
    url: '/api/logs/events',
    // Its headers say nothing, and there is no end to what it would have to throw away.
    exposeHeadRoute: false,
    schema: {
      operationId: 'followLogs',
      summary: 'Log lines as they are stored, as server-sent events; on a coordinator',
      description:
        'Events `lines`: an array of lines, oldest first, as `GET /api/logs` gives them. The id of an event is the cursor of its last line: with `Last-Event-ID` nothing is missed or repeated, however long the connection was away. A comment comes every 15 s. The stream ends within ten minutes: connect again. A slow reader misses nothing.',
      tags,
      querystring: LOG_CHOICE.omit({ until: true }).extend({ after: CURSOR }),
      response: answers({ 200: bodyOf('text/event-stream', 'Events, until either side ends them') }),
    },
    handler: async (request, reply) => {
      if (!logs) throw coordinatorOnly(membership, 'keep the log of the cluster')
      const { after, ...choice } = request.query
      const slot = needs.watchers.take(request.caller)
      const from = cursorOf(request.headers['last-event-id']) ?? after
      const events = logEvents({ clock, random, logs, feed }, logFilterOf(choice), from)
      events.once('close', () => slot[Symbol.dispose]())
      return reply.type('text/event-stream; charset=utf-8').send(events as unknown as string)
    },
  })

  app.route({
    method: 'GET',
    url: '/api/logs/sources',
    schema: {
      operationId: 'listLogSources',
      summary: 'What log lines can be chosen by: nodes, loggers, levels',
      tags,
      querystring: LOG_OWNER,
      response: answers({ 200: LOG_SOURCES }),
    },
    handler: async (request) => {
      const sources = await ask('get_log_sources', request.query, { request, answer: LOG_SOURCES })
      return { ...sources, nodes: nodes(sources.nodes) }
    },
  })

  app.route({
    method: 'DELETE',
    url: '/api/logs',
    schema: {
      operationId: 'clearLogs',
      summary: 'Removes the log lines of a node, or all; who did it is the next line',
      tags,
      querystring: LOG_OWNER,
      response: answers({ 200: LOGS_CLEARED }),
    },
    handler: (request) => ask('clear_logs', request.query, { request, answer: LOGS_CLEARED, waitMs: CLEAR_MS_MAX }),
  })
}

/** The page as JSON, made of the lines' own texts: a thousand of them must not hold up everything else. */
async function pageText(
  logs: LogReader,
  { limit, offset, cursor, ...choice }: z.output<typeof LOG_FILTER>,
  nodes: (stored: readonly string[]) => string[],
): Promise<string> {
  const [page, sources] = await Promise.all([
    logs.query(logFilterOf(choice), { limit, offset, before: cursor }),
    logs.sources(),
  ])
  const { lines, total, latest } = page
  const known = nodes(sources.nodes)
  if (choice.node_id !== undefined && !known.includes(choice.node_id)) throw unknownNode(choice.node_id, known)
  const next = offset + lines.length < total ? (lines.at(-1)?.cursor ?? null) : null
  const rest = { total, limit, offset, next_cursor: next, latest_cursor: latest, nodes: known }
  return `{"logs":[${lines.map(logLineText).join()}],${JSON.stringify(rest).slice(1)}`
}

function unknownNode(nodeId: string, known: readonly string[]): NetworkError {
  const near = nearest(nodeId, known)
  const hint = near === undefined ? '' : `; did you mean ${near}?`
  return new NetworkError(
    'P2P_NETWORK_NODE_UNKNOWN',
    `No node ${nodeId} is known here, and no line of it is kept${hint}`,
    {
      node: nodeId,
    },
  )
}

/** What is no cursor is as good as none. */
function cursorOf(lastEventId: string | string[] | undefined): number | undefined {
  return typeof lastEventId === 'string' && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : undefined
}
