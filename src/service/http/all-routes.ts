import type { App } from './fastify-app.ts'
import type { RouteNeeds } from './http-needs.ts'
import { registerAlertRoutes } from './routes/alert-routes.ts'
import { registerArtifactRoutes } from './routes/artifact-routes.ts'
import { registerAccountRoutes } from './routes/account-routes.ts'
import { registerAcmeRoutes } from './routes/acme-routes.ts'
import { registerAuditRoutes } from './routes/audit-routes.ts'
import { registerAuthRoutes } from './routes/auth-routes.ts'
import { registerClusterRoutes } from './routes/cluster-routes.ts'
import { registerControlRoutes } from './routes/control-routes.ts'
import { registerDashboardPageRoutes } from './routes/dashboard-page-routes.ts'
import { registerDashboardRoutes } from './routes/dashboard-routes.ts'
import { registerDeploymentRoutes } from './routes/deployment-routes.ts'
import { type OpenApiSource, registerDocsRoutes } from './routes/docs-routes.ts'
import { registerEnrolmentRoutes } from './routes/enrolment-routes.ts'
import { registerEventRoutes } from './routes/event-routes.ts'
import { registerLogRoutes } from './routes/log-routes.ts'
import { registerMetricsRoute } from './routes/metrics-route.ts'
import { registerOidcRoutes } from './routes/oidc-routes.ts'
import { registerPasskeyRoutes } from './routes/passkey-routes.ts'
import { registerSecretRoutes } from './routes/secret-routes.ts'
import { registerServiceRoutes } from './routes/service-routes.ts'
import { registerTimelineRoutes } from './routes/timeline-routes.ts'
import { registerTrustRoutes } from './routes/trust-routes.ts'
import { registerUserRoutes } from './routes/user-routes.ts'

/** All routes of the application, to serve them or to describe them; describing asks nothing of `needs`. */
export function registerRoutes(app: App, needs: RouteNeeds, openApi: OpenApiSource): void {
  registerClusterRoutes(app, needs)
  registerEventRoutes(app, needs)
  registerServiceRoutes(app, needs)
  registerMetricsRoute(app, needs)
  registerLogRoutes(app, needs)
  registerTimelineRoutes(app, needs)
  registerAlertRoutes(app, needs)
  registerDocsRoutes(app, needs, openApi)
  registerDashboardPageRoutes(app, needs)
  registerAuthRoutes(app, needs)
  registerAccountRoutes(app, needs)
  registerPasskeyRoutes(app, needs)
  registerOidcRoutes(app, needs)
  registerUserRoutes(app, needs)
  registerEnrolmentRoutes(app, needs)
  registerTrustRoutes(app, needs)
  registerAcmeRoutes(app, needs)
  registerAuditRoutes(app, needs)
  registerDashboardRoutes(app, needs)
  registerDeploymentRoutes(app, needs)
  registerControlRoutes(app, needs)
  registerArtifactRoutes(app, needs)
  registerSecretRoutes(app, needs)
}
