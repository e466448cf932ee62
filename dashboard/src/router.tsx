import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Link } from '@tanstack/react-router'
import { messageOf } from './api/http.ts'
import { Empty } from './components/empty.tsx'
import { Shell } from './components/shell.tsx'

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
const logs = createRoute({
  getParentRoute: () => root,
  path: '/logs',
  validateSearch: (search: Record<string, unknown>): { node?: string } =>
    typeof search['node'] === 'string' ? { node: search['node'] } : {},
  component: lazyRouteComponent(() => import('./pages/logs.tsx'), 'LogsPage'),
})
const trust = createRoute({
  getParentRoute: () => root,
  path: '/trust',
  component: lazyRouteComponent(() => import('./pages/trust.tsx'), 'TrustPage'),
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
  routeTree: root.addChildren([overview, nodes, node, services, service, logs, trust, events, settings]),
  basepath: '/dashboard',
  defaultPreload: 'intent',
  // Where a page fails, the frame around it stays.
  defaultErrorComponent: ({ error }) => <Empty title="This page failed">{messageOf(error)}</Empty>,
  scrollRestoration: false,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
