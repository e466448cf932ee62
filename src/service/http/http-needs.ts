import type { Registry } from 'prom-client'
import type { Acme, AcmeAdmin } from '../../base/acme.ts'
import type { AuditReader, AuditTrail } from '../../base/audit.ts'
import type { CaRotationAdmin, Enrolment, TrustAdmin } from '../../base/enrolment.ts'
import type { Files } from '../../base/files.ts'
import type { LogReader } from '../../base/log-line.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { Timeline } from '../../base/timeline.ts'
import type { DnsStats } from '../../network/dns/index.ts'
import type { GossipStats } from '../../network/index.ts'
import type { Transport } from '../../transport/index.ts'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Oidc } from '../auth/oidc.ts'
import type { People } from '../auth/people.ts'
import type { TokenIssuer } from '../auth/token-issuer.ts'
import type { Caller, RpcEndpoint, ServiceDirectory, ServiceMetricsSource } from '../definition/descriptor.ts'
import type { ServiceHost } from '../definition/service-spec.ts'
import type { AlertsApi } from './alert-wire.ts'
import type { ArtifactUploads } from '../../base/artifact-uploads.ts'
import type { ChangeFeed } from './change-feed.ts'
import type { DashboardSource, MachineReading } from './dashboard-source.ts'
import type { Orchestrator } from '../../base/orchestrator.ts'
import type { Secrets } from '../../base/secrets.ts'
import type { Gate, RateLimits } from './gate.ts'
import type { MemberFeed } from './member-feed.ts'
import type { NodeControl } from './node-control.ts'
import type { RequestCounts } from './request-counts.ts'
import type { DashboardCounts, LogStats } from './telemetry-stats.ts'
import type { WatcherSlots } from './watcher-slots.ts'
import type { WhyTeller } from './why-wire.ts'

/** Facts of the process for `GET /api/status`; what is absent is left out of the answer. */
export interface NodeFacts {
  certificateNotAfterMs?: number
  memoryRssBytes?: number
  storageBytes?: number
}

/** Adds metrics of its own to the registry, once, when metrics are first asked for; they are read at every scrape. */
export type MetricsCollector = (registry: Registry) => void

export interface HttpApiNeeds {
  clock: Clock
  random: Random
  log: Logger
  files: Pick<Files, 'readFile'>
  transport: Pick<Transport, 'route' | 'fallback' | 'facts' | 'onUpgrade'>
  authenticator: Authenticator
  membership: Membership
  services: ServiceDirectory
  serviceMetrics: ServiceMetricsSource
  rpc: RpcEndpoint
  /** For routes that ask a service, here or on another node, on behalf of their caller. */
  calls: Caller
  nodeFacts: () => NodeFacts
  /** Absent: nobody is limited (`rate_limit_enabled: false`). */
  limits?: RateLimits
  collectors?: readonly MetricsCollector[]
  /** Told as metrics; absent where there is no such part. */
  gossipStats?: () => GossipStats
  logStats?: () => LogStats
  dnsStats?: () => DnsStats
  /** What is told of machines as metrics: of this one, on a coordinator of all that report to it. */
  machines?: () => readonly MachineReading[]
  nodeControl: NodeControl
  /** How the services of this node run; absent: not told. */
  serviceHost?: Pick<ServiceHost, 'states'>
  /** Those of a coordinator; elsewhere their routes answer 403 and name the coordinators. */
  logs?: LogReader
  timeline?: Timeline
  why?: WhyTeller
  alerts?: AlertsApi
  dashboard?: DashboardSource
  tokenIssuer?: TokenIssuer
  people?: People
  /** Absent: nobody signs in by OpenID Connect. */
  oidc?: Oidc
  enrolment?: Enrolment
  trustAdmin?: TrustAdmin
  caRotation?: CaRotationAdmin
  acme?: Acme
  acmeAdmin?: AcmeAdmin
  /** Absent: privileged acts are not recorded. */
  audit?: AuditTrail
  auditReader?: AuditReader
  deployments?: Orchestrator
  artifacts?: ArtifactUploads
  secrets?: Secrets
}

export interface HttpApiOptions {
  /** Folder of the documentation pages' scripts and styles: `dist/assets`, filled by the build. The dashboard lies beside it. */
  assetsDirectory: string
}

/** What the routes stand on. */
export interface RouteNeeds extends HttpApiNeeds, HttpApiOptions {
  gate: Gate
  counts: RequestCounts
  dashboards: DashboardCounts
  feed: MemberFeed
  watchers: WatcherSlots
  /** The changes of `deployments`; there when they are. */
  deploymentFeed: ChangeFeed | undefined
}
