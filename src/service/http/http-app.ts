import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FallbackHandler } from '../../transport/index.ts'
import { registerRoutes } from './all-routes.ts'
import { createApp } from './fastify-app.ts'
import type { RouteNeeds } from './http-needs.ts'

/** Every route that is not on the transport's fast path. It listens nowhere: the transport hands requests over. */
export interface HttpApp {
  handle: FallbackHandler
  /** Lets go of what the framework holds; answers under way go on, the transport waits for them. */
  close(): Promise<void>
}

/** Builds the application. Loaded with its libraries when the first request for it comes. */
export async function createHttpApp(needs: RouteNeeds): Promise<HttpApp> {
  const app = createApp(needs)
  let document: Promise<() => object> | undefined
  registerRoutes(app, needs, async () => {
    document ??= import('./openapi.ts').then(({ createOpenApiDocument }) => createOpenApiDocument(needs))
    return (await document)()
  })
  await app.ready()
  return {
    // Fastify takes the HTTP/2 compatibility objects as well; its types know one kind a server.
    handle: (request, response) => app.routing(request as IncomingMessage, response as ServerResponse),
    close: async () => app.close(),
  }
}
