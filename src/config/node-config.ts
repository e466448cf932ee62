import type { LogLevel } from '../base/log.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'
import type { InterfaceKind } from '../base/interface-fact.ts'

/** Token bucket: so many requests a minute on average, `burst` at once. */
export interface RateLimit {
  readonly requestsPerMinute: number
  readonly burst: number
}

/** A node's checked settings, deep-frozen. Paths are absolute. */
export interface NodeConfig {
  /** The file it was read from, as it was given; undefined without one. */
  readonly file: string | undefined
  /** Where relative paths start: the folder of the file, or that folder's parent when it is called `config`. */
  readonly homeDirectory: string

  readonly nodeId: NodeId
  readonly role: NodeRole
  readonly bindAddress: string
  /** 0: the system chooses. */
  readonly port: number
  /** IP address or host name without port; undefined: found from the interfaces. */
  readonly advertiseAddress: string | undefined
  /** By interface name, for those that are not to be taken for what they look like. */
  readonly interfaceKinds: Readonly<Record<string, InterfaceKind>>
  /** What services are placed by. */
  readonly labels: Readonly<Record<string, string>>
  /** `host:port` in the order to try; at least one on a worker, none on a coordinator. */
  readonly coordinatorAddresses: readonly string[]
  /** `open` only ever with a loopback `bindAddress`. */
  readonly securityProfile: 'standard' | 'open'

  /** Names of the vault's entries for this node's TLS material. */
  readonly certificateEntries: {
    readonly certificate: string
    readonly key: string
    readonly caCertificate: string
    /** Undefined on a worker. */
    readonly caKey: string | undefined
  }
  readonly certificateLifetimeMs: number
  readonly challengePort: number

  readonly gossipIntervalMsMin: number
  readonly gossipIntervalMsMax: number
  /** Messages of at least this many bytes are compressed; undefined: none is. */
  readonly gossipCompressionBytesMin: number | undefined

  /** Undefined: no limits. */
  readonly rateLimits: { readonly rpc: RateLimit; readonly health: RateLimit; readonly default: RateLimit } | undefined
  /** Undefined: no DNS interface. */
  readonly dns: { readonly address: string; readonly port: number } | undefined
  readonly connectTimeoutMs: number
  readonly readTimeoutMs: number

  /** May hold a password: never to be logged. */
  readonly redisUrl: string | undefined
  /** Log lines this node keeps in memory. */
  readonly logEntriesMax: number
  /** On a coordinator: of the cluster's log. */
  readonly logRetentionMs: number
  readonly logStoreBytesMax: number
  /** Of this node's log, until a coordinator has it. */
  readonly logSpoolBytesMax: number
  /** Undefined: no OpenTelemetry collector is told. `endpoint` has no slash at its end. */
  readonly otlp: { readonly endpoint: string; readonly metricsEveryMs: number; readonly traceRatio: number } | undefined
  readonly logLevel: LogLevel
  /** The provider by which people may sign in at a coordinator. Holds a secret: never to be logged. */
  readonly oidc:
    | {
        readonly issuer: string
        readonly clientId: string
        readonly clientSecret: string | undefined
        /** Of the cluster's secret that is the client's. */
        readonly clientSecretName: string | undefined
        readonly nameClaim: string
        readonly roleClaim: string
        readonly roles: Readonly<Record<string, 'viewer' | 'operator' | 'admin'>>
        /** Absolute path. */
        readonly caFile: string | undefined
      }
    | undefined
  /** Whom a coordinator sends its alerts to. Holds secrets: never to be logged. */
  readonly alerts: {
    readonly webhooks: readonly { readonly url: string; readonly secret: string | undefined }[]
    readonly email:
      | {
          readonly host: string
          readonly port: number
          readonly security: 'tls' | 'starttls' | 'none'
          readonly from: string
          readonly to: readonly string[]
          readonly user: string | undefined
          readonly password: string | undefined
        }
      | undefined
    /** Absolute path. */
    readonly script: string | undefined
  }

  readonly stateDirectory: string
  /** The vault. */
  readonly storagePath: string
  readonly plotFile: string
  readonly servicesDirectory: string
}
