import { hostname, loadavg, uptime } from 'node:os'
import { defineService, method, z } from 'p2p-core/service'

const Report = z.object({
  hostname: z.string(),
  since: z.iso.datetime().describe('When the machine was started'),
  days: z.number(),
  load: z.number().describe('Programs that run or wait to, on average over one minute'),
})

export default defineService({
  name: 'uptime',
  version: '1.0.0',
  description: 'How long machines have been running',
  methods: {
    report: method({
      description: 'Tells how long this machine has been running',
      public: true,
      requiredRole: 'viewer',
      params: z.strictObject({}),
      result: Report,
      cacheTtlMs: 1_000,
      handler() {
        const seconds = uptime()
        return {
          hostname: hostname(),
          since: new Date(Date.now() - seconds * 1_000).toISOString(),
          days: Math.round(seconds / 8_640) / 10,
          load: loadavg()[0],
        }
      },
    }),
    compare: method({
      description:
        'Asks several nodes at once, the longest running first; a node that does not answer is named with the reason',
      public: true,
      requiredRole: 'viewer',
      params: z.strictObject({ nodes: z.array(z.string()).min(1).max(50) }),
      result: z.object({
        reports: z.array(Report.extend({ node: z.string() })),
        failed: z.array(z.object({ node: z.string(), code: z.string(), reason: z.string() })),
      }),
      async handler({ nodes }, call) {
        const { proxy } = call.service
        const answers = await Promise.allSettled(
          nodes.map((node) => proxy.uptime[node].report({}, { timeoutMs: 5_000 })),
        )
        const reports = []
        const failed = []
        for (const [i, { status, value, reason }] of answers.entries()) {
          if (status === 'fulfilled') reports.push({ node: nodes[i], ...value })
          else failed.push({ node: nodes[i], code: reason.code, reason: reason.message })
        }
        reports.sort((a, b) => a.since.localeCompare(b.since))
        return { reports, failed }
      },
    }),
  },
  initialize(service) {
    service.logger.info('Counting', { days: Math.floor(uptime() / 86_400) })
  },
})
