import { z } from 'zod'
import type { App } from '../fastify-app.ts'
import { readAsset } from '../docs-assets.ts'
import { DOCS_FILES, DOCS_PAGE, REDOC_PAGE } from '../docs-pages.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, bodyOf } from '../wire.ts'

/** The OpenAPI document with the methods of the services now running. */
export type OpenApiSource = () => Promise<object>

/** The OpenAPI document, and the two pages that show it without loading anything from elsewhere. */
export function registerDocsRoutes(app: App, needs: RouteNeeds, openApi: OpenApiSource): void {
  const tags = ['documentation']

  app.route({
    method: 'GET',
    url: '/openapi.json',
    schema: {
      operationId: 'getOpenApi',
      summary: 'This document (OpenAPI 3.1), with the methods of the services now running',
      tags,
      response: answers({ 200: z.record(z.string(), z.unknown()) }),
    },
    handler: async () => (await openApi()) as Record<string, unknown>,
  })

  const pages = [
    { ...DOCS_PAGE, operationId: 'getDocsPage', summary: 'The interface, to read and try (Swagger UI)' },
    { ...REDOC_PAGE, operationId: 'getRedocPage', summary: 'The interface, to read (ReDoc)' },
  ]
  for (const { path, html, policy, operationId, summary } of pages) {
    app.route({
      method: 'GET',
      url: path,
      schema: { operationId, summary, tags, response: answers({ 200: bodyOf('text/html', 'The page') }) },
      handler: async (_request, reply) =>
        reply.type('text/html; charset=utf-8').header('content-security-policy', policy).send(html),
    })
  }

  app.route({
    method: 'GET',
    url: '/docs/assets/:file',
    schema: {
      operationId: 'getDocsAsset',
      summary: 'A script or style of the pages',
      tags,
      params: z.object({ file: z.enum(DOCS_FILES) }),
      response: answers({ 200: bodyOf('text/javascript', 'The file') }),
    },
    handler: async (request, reply) => {
      const accepted = request.headers['accept-encoding']
      const { contentType, encoding, body } = await readAsset(
        request.params.file,
        needs,
        typeof accepted === 'string' ? accepted : '',
      )
      if (encoding !== undefined) void reply.header('content-encoding', encoding)
      // The files change only with the program's version.
      return reply
        .type(contentType)
        .header('cache-control', 'public, max-age=3600')
        .header('vary', 'accept-encoding')
        .send(body as unknown as string)
    },
  })
}
