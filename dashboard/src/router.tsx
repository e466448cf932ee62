import { Button } from '@mantine/core'
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Link } from '@tanstack/react-router'
import { messageOf } from './api/http.ts'
import type { LogLevel } from './api/types.ts'
import { Empty } from './components/empty.tsx'
import { PageLoading } from './components/loading.tsx'
import { Shell } from './components/shell.tsx'
import { LOG_LEVELS } from './live/log-filter.ts'

const root = createRootRoute({
  component: Shell,
  notFoundComponent: () => (
    <Empty title="There is no such page">
      <Link to="/">To the overview</Link>
    </Empty>
  ),
})

const overview = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: lazyRouteComponent(() => import('./pages/overview.tsx'), 'OverviewPage'),
})
const nodes = createRoute({
  getParentRoute: () => root,
  path: '/nodes',
  component: lazyRouteComponent(() => import('./pages/nodes.tsx'), 'NodesPage'),
})
const node = createRoute({
  getParentRoute: () => root,
  path: '/nodes/$nodeId',
  component: lazyRouteComponent(() => import('./pages/node.tsx'), 'NodePage'),
})
const services = createRoute({
  getParentRoute: () => root,
  path: '/services',
  component: lazyRouteComponent(() => import('./pages/services.tsx'), 'ServicesPage'),
})
const service = createRoute({
  getParentRoute: () => root,
  path: '/services/$service',
  component: lazyRouteComponent(() => import('./pages/service.tsx'), 'ServicePage'),
})
/** Which lines, as the address says; `at`: around a moment, ISO 8601. */
interface LogSearch {
  node?: string
  level?: LogLevel
  logger?: string
  search?: string
  trace?: string
  at?: string
}

/** What somebody may have typed into the address. */
function logSearch(search: Record<string, unknown>): LogSearch {
  const { node, level, logger, at, trace, search: words } = search
  return {
    ...(typeof node === 'string' && { node }),
    ...(LOG_LEVELS.includes(level as LogLevel) && { level: level as LogLevel }),
    ...(typeof logger === 'string' && { logger }),
    // The router reads figures as numbers.
    ...((typeof words === 'string' || typeof words === 'number') && { search: String(words) }),
    ...((typeof trace === 'string' || typeof trace === 'number') && { trace: String(trace) }),
    ...(typeof at === 'string' && !Number.isNaN(Date.parse(at)) && { at: new Date(at).toISOString() }),
  }
}

const logs = createRoute({
  getParentRoute: () => root,
  path: '/logs',
  validateSearch: logSearch,
  component: lazyRouteComponent(() => import('./pages/logs.tsx'), 'LogsPage'),
})
const updates = createRoute({
  getParentRoute: () => root,
  path: '/updates',
  component: lazyRouteComponent(() => import('./pages/updates.tsx'), 'UpdatesPage'),
})
const certificates = createRoute({
  getParentRoute: () => root,
  path: '/certificates',
  component: lazyRouteComponent(() => import('./pages/certificates.tsx'), 'CertificatesPage'),
})
const events = createRoute({
  getParentRoute: () => root,
  path: '/events',
  component: lazyRouteComponent(() => import('./pages/events.tsx'), 'EventsPage'),
})
const settings = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  component: lazyRouteComponent(() => import('./pages/settings.tsx'), 'SettingsPage'),
})

/** Each page is loaded when it is first opened. */
export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    nodes,
    node,
    services,
    service,
    logs,
    updates,
    certificates,
    events,
    settings,
  ]),
  basepath: '/dashboard',
  defaultPreload: 'intent',
  defaultPendingComponent: PageLoading,
  // Where a page fails, the frame around it stays.
  defaultErrorComponent: ({ error }) => (
    <Empty title="This page failed">
      {messageOf(error)}
      <Button variant="default" onClick={() => window.location.reload()}>
        Load it again
      </Button>
    </Empty>
  ),
  scrollRestoration: false,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
