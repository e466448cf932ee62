import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { DASHBOARD_FILE_NAME, readDashboardFile } from '../dashboard-files.ts'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { pagePolicy } from '../security-headers.ts'
import { answers, bodyOf, WIRE } from '../wire.ts'

/** Nothing inline. */
export const DASHBOARD_POLICY = pagePolicy()

/** A year: the name of an asset changes with its content. */
const IMMUTABLE = 'public, max-age=31536000, immutable'

const tags = ['dashboard']
const SEGMENT = z.string().max(200)

/** The dashboard's page and its files. They hold nothing of the cluster: the page asks for that, as a known caller. */
export function registerDashboardPageRoutes(app: App, needs: RouteNeeds): void {
  async function sendPage(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    void reply.header('content-security-policy', DASHBOARD_POLICY)
    await send(request, reply, 'index.html')
  }

  async function send(request: FastifyRequest, reply: FastifyReply, path: string): Promise<void> {
    const accepted = request.headers['accept-encoding']
    const file = await readDashboardFile(needs, path, typeof accepted === 'string' ? accepted : '')
    if (file.encoding !== undefined) void reply.header('content-encoding', file.encoding)
    await reply.header('vary', 'accept-encoding').type(file.contentType).send(file.body)
  }

  app.route({
    method: 'GET',
    url: '/',
    schema: {
      operationId: 'getStart',
      summary: 'The way to the dashboard',
      tags,
      response: answers({ 302: z.undefined().register(WIRE, { description: 'To /dashboard' }) }),
    },
    handler: async (_request, reply) => reply.redirect('/dashboard', 302),
  })

  // The page's own addresses: what lies behind them, the page itself decides.
  const pages = [
    { url: '/dashboard', operationId: 'getDashboard', params: z.object({}) },
    { url: '/dashboard/:page', operationId: 'getDashboardPage', params: z.object({ page: SEGMENT }) },
    {
      url: '/dashboard/:page/:item',
      operationId: 'getDashboardItem',
      params: z.object({ page: SEGMENT, item: SEGMENT }),
    },
  ]
  for (const { url, operationId, params } of pages) {
    app.route({
      method: 'GET',
      url,
      schema: {
        operationId,
        summary: 'The dashboard',
        tags,
        ...(url !== '/dashboard' && { params }),
        response: answers({ 200: bodyOf('text/html', 'The page') }),
      },
      handler: sendPage,
    })
  }

  app.route({
    method: 'GET',
    url: '/dashboard/assets/:file',
    schema: {
      operationId: 'getDashboardAsset',
      summary: 'A script or style of the dashboard',
      tags,
      params: z.object({ file: z.string().regex(DASHBOARD_FILE_NAME, 'is no file of the dashboard') }),
      response: answers({ 200: bodyOf('text/javascript', 'The file') }),
    },
    handler: async (request, reply) => {
      void reply.header('cache-control', IMMUTABLE)
      try {
        await send(request, reply, `assets/${request.params.file}`)
      } catch (error) {
        void reply.header('cache-control', 'no-store')
        throw error
      }
    },
  })
}
