export type {
  Caller,
  CallContext,
  CallTarget,
  JsonSchema,
  MethodDescriptor,
  MethodMetrics,
  RpcAnswer,
  RpcEndpoint,
  RpcRequest,
  ServiceDescription,
  ServiceDirectory,
  ServiceMetricsSnapshot,
  ServiceMetricsSource,
  ServiceStatus,
} from './definition/descriptor.ts'
export { isServiceName } from './jsonrpc/index.ts'
export type { CallSpan, SpanListener } from './calls/call-span.ts'
export { currentTraceId } from './calls/invocation.ts'
export { RawJson } from './calls/raw-json.ts'
export { type LoneCall, LoneService, type LoneServiceNeeds, type LoneServiceOptions } from './lone-service.ts'
export type { HostProgram } from './host/driver-needs.ts'
export type { StoppedServices } from './host/local-host.ts'
export type { RunClass } from './definition/service-body.ts'
export type { ResultCache } from './calls/result-cache.ts'
export { defineService, type ServiceDefinition } from './sdk/define-service.ts'
export { method, type MethodCall } from './sdk/method.ts'
export {
  createServiceManager,
  type ServiceManager,
  type ServiceManagerNeeds,
  type ServiceManagerOptions,
} from './service-manager.ts'
export { type AccessRule, type RouteKey } from './auth/access.ts'
export { type PersonRole } from './auth/access-token.ts'
export { type Authenticator, type AuthenticatorOptions, createAuthenticator } from './auth/authenticator.ts'
export type { LimitClass, RateLimits } from './http/gate.ts'
export { toWire, type Wire } from './http/field-names.ts'
export { createStartingAnswer } from './http/answer-starting.ts'
export { createHttpApi } from './http/http-api.ts'
export type { HttpApiNeeds, HttpApiOptions, MetricsCollector, NodeFacts } from './http/http-needs.ts'
export {
  LOG_FILTER,
  LOG_OWNER,
  LOG_PAGE,
  LOG_SOURCES,
  LOGS_CLEARED,
  logFilterOf,
  logLineWire,
  type LogLineWire,
} from './http/log-wire.ts'
export {
  type AttentionItem,
  type CallEdge,
  DASHBOARD_METRICS,
  DASHBOARD_STATS,
  type DashboardMetrics,
  type DashboardStats,
  HISTORY_POINT,
  HISTORY_POINTS_DEFAULT,
  HISTORY_POINTS_MAX,
  HISTORY_RANGES,
  type HistoryPoint,
  type HistoryRange,
  MACHINE_METRICS,
  type MachineMetrics,
  NODE_REPORT,
  NODE_SERVICE,
  type NodeReport,
  type NodeService,
  type ServiceFigures,
  type ServicePoint,
  type ServiceReport,
} from './http/dashboard-wire.ts'
export type {
  AlertsApi,
  AlertsWire,
  AlertTargetWire,
  AlertTest,
  AlertWire,
  SilenceRequest,
  SilenceWire,
} from './http/alert-wire.ts'
export {
  type TimelineEventWire,
  timelineEventWire,
} from './http/timeline-wire.ts'
export { type WhyAnswer, type WhyKind, type WhyTeller } from './http/why-wire.ts'
export type { DashboardSource, MachineReading } from './http/dashboard-source.ts'
export {
  type InstanceFacts,
  type InstanceState,
  SERVICE_KINDS,
  type MethodCallers,
  type ServiceHost,
  type ServiceKind,
  type ServiceSpec,
  type ServiceState,
} from './definition/service-spec.ts'
export { askedPermissions, type Manifest, parseManifest } from './definition/manifest.ts'
