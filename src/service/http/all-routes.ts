import type { App } from './fastify-app.ts'
import type { RouteNeeds } from './http-needs.ts'
import { registerAuthRoutes } from './routes/auth-routes.ts'
import { registerClusterRoutes } from './routes/cluster-routes.ts'
import { type OpenApiSource, registerDocsRoutes } from './routes/docs-routes.ts'
import { registerEnrolmentRoutes } from './routes/enrolment-routes.ts'
import { registerEventRoutes } from './routes/event-routes.ts'
import { registerLogRoutes } from './routes/log-routes.ts'
import { registerMetricsRoute } from './routes/metrics-route.ts'
import { registerServiceRoutes } from './routes/service-routes.ts'
import { registerTrustRoutes } from './routes/trust-routes.ts'

/** All routes of the application, to serve them or to describe them; describing asks nothing of `needs`. */
export function registerRoutes(app: App, needs: RouteNeeds, openApi: OpenApiSource): void {
  registerClusterRoutes(app, needs)
  registerEventRoutes(app, needs)
  registerServiceRoutes(app, needs)
  registerMetricsRoute(app, needs)
  registerLogRoutes(app, needs)
  registerDocsRoutes(app, needs, openApi)
  registerAuthRoutes(app, needs)
  registerEnrolmentRoutes(app, needs)
  registerTrustRoutes(app, needs)
}
