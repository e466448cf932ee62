import { z } from 'zod'
import type { AuditReader } from '../../../base/audit.ts'
import { RpcError } from '../../../base/errors.ts'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, WIRE } from '../wire.ts'

const TAGS = ['audit']
const LIMIT_MAX = 1_000

const RECORD = z.object({
  seq: z.int(),
  time: z.iso.datetime(),
  phase: z.enum(['intent', 'outcome', 'notice']),
  act: z.string(),
  who: z.string(),
  role: z.string().optional(),
  from: z.string().optional(),
  target: z.string().optional(),
  trace_id: z.string().optional(),
  outcome: z.enum(['succeeded', 'failed', 'refused']).optional(),
  intent: z.int().optional().register(WIRE, { description: 'The record of the intent that this is the outcome of' }),
  detail: z.string().optional(),
})

/** The audit trail of the node that is asked. */
export function registerAuditRoutes(app: App, { auditReader }: RouteNeeds): void {
  const reader = (): AuditReader => {
    if (auditReader) return auditReader
    throw new RpcError('P2P_HTTP_NOT_FOUND', 'This node keeps no audit trail')
  }

  app.route({
    method: 'GET',
    url: '/api/audit',
    schema: {
      operationId: 'listAuditRecords',
      summary: 'Who did what on this node, newest first',
      tags: TAGS,
      querystring: z.strictObject({
        since: z.iso.datetime({ offset: true }).optional(),
        until: z.iso.datetime({ offset: true }).optional(),
        who: z.string().max(200).optional(),
        act: z.string().max(200).optional(),
        before: z.coerce.number().int().min(1).optional().register(WIRE, { description: 'Older than this record' }),
        limit: z.coerce.number().int().min(1).max(LIMIT_MAX).default(100),
      }),
      response: answers({ 200: z.object({ records: z.array(RECORD) }) }),
    },
    handler: async ({ query: { since, until, ...rest } }) => {
      const records = await reader().query({ sinceMs: timeOf(since), untilMs: timeOf(until), ...rest })
      return { records: records.map(({ traceId, ...record }) => ({ ...record, trace_id: traceId })) }
    },
  })

  app.route({
    method: 'POST',
    url: '/api/audit/verify',
    schema: {
      operationId: 'verifyAuditTrail',
      summary: 'Reads every record of this node again and checks that none was changed, left out or put in',
      tags: TAGS,
      response: answers({
        200: z.object({
          records: z.int(),
          first_seq: z.int().nullable(),
          last_seq: z.int().nullable(),
          problems: z.array(z.object({ file: z.string(), line: z.int(), problem: z.string() })),
        }),
      }),
    },
    handler: async () => {
      const { records, firstSeq, lastSeq, problems } = await reader().verify()
      return { records, first_seq: firstSeq ?? null, last_seq: lastSeq ?? null, problems }
    },
  })
}

function timeOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text)
}
