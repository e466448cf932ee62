import { isIP } from 'node:net'
import { z } from 'zod'
import { isNodeId, type NodeRole } from '../base/identity.ts'
import { INTERFACE_KINDS } from '../base/interface-fact.ts'
import { isHost, normalAddress } from './address.ts'
import { ALERTS_SCHEMA } from './alerts.ts'
import { OIDC_SCHEMA } from './oidc.ts'
import { parseDuration } from './duration.ts'

/** Port of a coordinator, where `coordinator_addresses` names none. */
export const COORDINATOR_PORT = 8001
/** Port of a worker. */
export const WORKER_PORT = 8002

/** What the schema says of a key besides its type: for error messages, `p2p config keys` and docs/configuration.md. */
interface KeyMeta {
  /** Completes "expected …". */
  expects: string
  /** What the key does, in sentences. */
  description: string
  /** The default in words, where it depends on other keys. */
  fallback?: string
  /** Error messages must not show the value. */
  isSecret?: boolean
}

function key<S extends z.ZodType>(schema: S, meta: KeyMeta): S {
  return schema.meta({ ...meta })
}

function wholeNumber(min: number, max: number, fallback: number, unit: string, description: string) {
  const expects = `a whole number from ${min} to ${max}${unit && ` (${unit})`}`
  return key(z.int().min(min).max(max).default(fallback), { expects, description })
}

function flag(fallback: boolean, description: string) {
  return key(z.boolean().default(fallback), { expects: 'true or false', description })
}

function directory(fallback: string, description: string) {
  return key(z.string().min(1).max(4096).optional(), { expects: 'a path', fallback, description })
}

/** A file name of a Python configuration: here its base name is the name of a vault entry, and no such file is made. */
function vaultEntry(fallback: string, description: string) {
  const schema = z
    .string()
    .max(4096)
    .transform((path) => path.split(/[/\\]/).at(-1) as string)
    .refine((name) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name))
    .optional()
  return key(schema, { expects: 'a file name of letters, digits, ".", "_" and "-"', fallback, description })
}

const ENTRY_DEFAULTS = {
  ssl_cert_file: { coordinator: 'coordinator_cert.cer', worker: 'worker_cert.cer' },
  ssl_key_file: { coordinator: 'coordinator_key.key', worker: 'worker_key.key' },
  ssl_ca_cert_file: { coordinator: 'ca_cert.cer', worker: 'ca_cert.cer' },
  ssl_ca_key_file: { coordinator: 'ca_key.key', worker: 'ca_key.key' },
} as const

/** Name of the vault entry where the file names none: that of the Python program. */
export function defaultEntry(key: keyof typeof ENTRY_DEFAULTS, role: NodeRole): string {
  return ENTRY_DEFAULTS[key][role]
}

/**
 * Every key a node's YAML file may have: type, default, range and help text. Names and defaults are those of
 * the Python program where it had the key. Times are in seconds here and in milliseconds in {@link NodeConfig}.
 */
export const CONFIG_SCHEMA = z.strictObject({
  node_id: key(z.string().refine(isNodeId).optional(), {
    expects: 'a name of 1 to 63 letters, digits, "-", "_" and ".", beginning with a letter or digit',
    fallback: '`coordinator-<host name>` or `worker-<host name>`',
    description: 'Name of the node, unique in the cluster. It belongs to the first key that used it.',
  }),
  coordinator_mode: flag(
    false,
    'Whether the node is the coordinator: it holds the certificate authority and the desired state.',
  ),
  port: key(z.int().min(0).max(65_535).optional(), {
    expects: 'a whole number from 0 to 65535',
    fallback: `${COORDINATOR_PORT} on a coordinator, ${WORKER_PORT} on a worker`,
    description: 'The one HTTPS port. 0 lets the system choose one, for tests.',
  }),
  bind_address: key(
    z
      .string()
      .refine((text) => isIP(text) !== 0)
      .default('0.0.0.0'),
    {
      expects: 'an IP address of this machine, or 0.0.0.0 or :: for all',
      description: 'Address the node listens on.',
    },
  ),
  advertise_address: key(z.string().max(253).refine(isHost).optional(), {
    expects: 'an IP address or host name, without port',
    fallback: 'found from the network interfaces',
    description: 'Address the other nodes dial first, where it cannot be found: behind NAT or with several interfaces.',
  }),
  network_interfaces: key(
    z
      .record(z.string().min(1).max(256), z.enum(INTERFACE_KINDS))
      .refine((kinds) => Object.keys(kinds).length <= 64)
      .optional(),
    {
      expects: 'a map of interface names to lan, vpn or ignored',
      fallback: 'recognised from the interfaces themselves',
      description:
        'What an interface is, where the node takes it for something else: `{tun0: lan, eth2: ignored}`. Other nodes prefer LAN addresses to those of a VPN; addresses of an ignored interface are not announced.',
    },
  ),
  coordinator_addresses: key(
    z
      .array(
        z.string().transform((text, context) => {
          const address = normalAddress(text, COORDINATOR_PORT)
          if (address === undefined) context.addIssue({ code: 'custom' })
          return address ?? z.NEVER
        }),
      )
      .min(1)
      .max(16)
      .transform((addresses) => [...new Set(addresses)])
      .optional(),
    {
      expects: `a list of 1 to 16 addresses HOST:PORT (IPv6 in brackets; port ${COORDINATOR_PORT} when left out)`,
      fallback: 'none: a worker must name at least one',
      description: 'Where a worker finds its coordinator, tried in this order.',
    },
  ),
  labels: key(
    z
      .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/), z.string().regex(/^\P{Cc}{1,64}$/u))
      .refine((labels) => Object.keys(labels).length <= 32 && !('role' in labels) && !('node' in labels))
      .optional(),
    {
      expects:
        'a map of at most 32 names (letters, digits, ".", "_", "/", "-") to texts of 1 to 64 characters; "role" and "node" are labels every node has already',
      fallback: 'none',
      description:
        'What the node is, for rules where services run: `{rack: a, disk: ssd}`, and then `p2p deploy ./shop --label disk=ssd`. Every node of the cluster can read them.',
    },
  ),
  security_profile: key(z.enum(['standard', 'open']).default('standard'), {
    expects: 'standard or open',
    description:
      '`standard` asks every caller for a certificate, token or session. `open` asks for nothing, for trying out on one machine: only with a loopback `bind_address`.',
  }),

  https_enabled: key(z.literal(true).default(true), {
    expects: 'true: a node speaks HTTPS only',
    description: 'Kept from the Python program. There is no plain HTTP to switch to.',
  }),
  ssl_cert_file: vaultEntry(
    '`coordinator_cert.cer` or `worker_cert.cer`',
    'Vault entry with the certificate of the node. Only the base name counts; no such file is made.',
  ),
  ssl_key_file: vaultEntry(
    '`coordinator_key.key` or `worker_key.key`',
    'Vault entry with the private key of the node. Only the base name counts.',
  ),
  ssl_ca_cert_file: vaultEntry(
    '`ca_cert.cer`',
    'Vault entry with the root certificate of the cluster. Only the base name counts.',
  ),
  ssl_ca_key_file: vaultEntry(
    '`ca_key.key`',
    'Vault entry with the private key of the certificate authority; on a coordinator only. Only the base name counts.',
  ),
  certificate_lifetime: key(
    z
      .string()
      .transform((text) => parseDuration(text) ?? Number.NaN)
      .refine((ms) => ms >= 60_000 && ms <= 3_650 * 86_400_000)
      .default(365 * 86_400_000),
    {
      expects: 'a duration such as 365d, 12h or 1m, from 1m to 3650d',
      fallback: '365d',
      description:
        'How long a node certificate is valid; the coordinator decides. Renewal comes by itself 30 days before the end, below 90 days at two thirds of life.',
    },
  ),
  challenge_port: wholeNumber(
    0,
    65_535,
    8802,
    '',
    'Port on which a node answers the challenge of the coordinator while it asks for a certificate. 0 lets the system choose one.',
  ),

  gossip_interval_min: wholeNumber(
    1,
    3_600,
    5,
    'seconds',
    'Shortest time between two full-state exchanges with another node, used while things change.',
  ),
  gossip_interval_max: wholeNumber(
    1,
    3_600,
    30,
    'seconds',
    'Longest time between two full-state exchanges, reached while nothing changes.',
  ),
  gossip_compression_enabled: flag(true, 'Whether larger gossip messages are compressed with LZ4.'),
  gossip_compression_threshold: wholeNumber(
    128,
    65_536,
    1_024,
    'bytes',
    'Messages smaller than this are sent as they are: LZ4 makes very small ones larger.',
  ),

  rate_limit_enabled: flag(true, 'Whether requests are limited at all.'),
  rate_limit_rpc_requests: wholeNumber(1, 1_000_000, 100, 'requests a minute', 'Calls to `/rpc` one caller may make.'),
  rate_limit_rpc_burst: wholeNumber(1, 1_000_000, 20, 'requests', 'Calls to `/rpc` one caller may make at once.'),
  rate_limit_health_requests: wholeNumber(
    1,
    1_000_000,
    300,
    'requests a minute',
    'Requests to `/health` and `/metrics` one caller may make.',
  ),
  rate_limit_health_burst: wholeNumber(
    1,
    1_000_000,
    50,
    'requests',
    'Requests to `/health` and `/metrics` one caller may make at once.',
  ),
  rate_limit_default_requests: wholeNumber(
    1,
    1_000_000,
    200,
    'requests a minute',
    'Requests to every other path one caller may make.',
  ),
  rate_limit_default_burst: wholeNumber(
    1,
    1_000_000,
    30,
    'requests',
    'Requests to every other path one caller may make at once.',
  ),

  dns_port: wholeNumber(
    0,
    65_535,
    0,
    '',
    'Port, UDP and TCP, at which the node answers DNS queries for its cluster, for instance 8853. 0 answers none.',
  ),
  dns_address: key(
    z
      .string()
      .refine((text) => isIP(text) !== 0)
      .default('127.0.0.1'),
    {
      expects: 'an IP address of this machine, or 0.0.0.0 or :: for all',
      description: 'Address for DNS queries. Everybody who reaches it can read the names and addresses of the cluster.',
    },
  ),

  connect_timeout: wholeNumber(
    1,
    300,
    15,
    'seconds',
    'How long dialling another node may take, TLS handshake included.',
  ),
  read_timeout: wholeNumber(
    1,
    3_600,
    45,
    'seconds',
    'How long a call to another node waits for its answer when neither caller nor method says.',
  ),

  redis_url: key(
    z
      .string()
      .max(2_048)
      .refine((text) => /^rediss?:\/\/[^/\s]+/.test(text) && URL.canParse(text))
      .optional(),
    {
      expects: 'a URL redis://HOST:PORT or rediss://HOST:PORT',
      fallback: 'none: results are cached in memory only',
      description:
        'Redis server shared by the nodes as second cache level. One with a password is better given in the environment: P2P_REDIS_URL.',
      isSecret: true,
    },
  ),
  redis_enabled: flag(true, 'Set to false to leave `redis_url` unused.'),
  max_log_entries: wholeNumber(
    10,
    100_000,
    1_000,
    'lines',
    'Log lines this node keeps in memory; at most 2 KiB each on average. A worker answers `GET /api/logs` from them.',
  ),
  log_retention_days: wholeNumber(1, 3_650, 14, 'days', 'How long a coordinator keeps the log lines of the cluster.'),
  log_store_max_mb: wholeNumber(
    16,
    1_048_576,
    1_024,
    'MiB',
    'Disk space the log lines of the cluster may take on a coordinator, about. Then the node with most of it loses its oldest lines.',
  ),
  log_spool_max_mb: wholeNumber(
    1,
    102_400,
    128,
    'MiB',
    'Disk space for log lines of this node that no coordinator has stored yet. When it is full the oldest go, and the gap is shown.',
  ),
  otlp_endpoint: key(
    z
      .string()
      .max(2_048)
      .refine((text) => /^https?:\/\/[^/\s@]+(?:\/\S*)?$/.test(text) && URL.canParse(text))
      .optional(),
    {
      expects: 'a URL http://HOST:PORT or https://HOST:PORT, without user and password',
      fallback: 'none: nothing is exported',
      description:
        'OpenTelemetry collector that is told of the log lines, calls and metrics of this node by OTLP/HTTP (JSON), under /v1/logs, /v1/traces and /v1/metrics. Headers for it are given in the environment: P2P_OTLP_HEADERS.',
    },
  ),
  otlp_metrics_interval: wholeNumber(
    1,
    3_600,
    15,
    'seconds',
    'Time between two exports of the metrics to `otlp_endpoint`.',
  ),
  otlp_trace_percent: wholeNumber(
    0,
    100,
    100,
    'percent',
    'Share of the traces that are exported to `otlp_endpoint`. Give all nodes the same: then traces are whole.',
  ),

  alerts: key(ALERTS_SCHEMA, {
    expects:
      'a map of `webhooks` (at most 8 URLs, https:// or on this machine http://), `email` (`host`, `port`, `security`: tls, starttls or none, `from`, `to`: a list, `user`) and `script` (a path)',
    fallback: 'none: alerts are shown only',
    description:
      'Whom a coordinator sends its alerts to. The secret that signs what webhooks get is P2P_WEBHOOK_SECRET, the password of the mail server P2P_SMTP_PASSWORD, both in the environment. See operations.md.',
    isSecret: true,
  }),

  oidc: key(OIDC_SCHEMA, {
    expects:
      'a map of `issuer` (https://…), `client_id`, `roles` (a map from values of the claim to viewer, operator or admin), and where the defaults do not fit `name_claim` (preferred_username), `role_claim` (groups), `client_secret_name` and `ca_file` (a path)',
    fallback: 'none: people sign in by name and password',
    description:
      'OpenID Connect provider by which people may sign in at a coordinator. The client secret is the secret named by `client_secret_name`, or P2P_OIDC_CLIENT_SECRET in the environment. See people.md.',
  }),

  state_directory: directory(
    '`data/coordinator` or `data/worker`',
    'Folder of the vault and of everything else a node keeps. Relative paths start at the home of the configuration.',
  ),
  services_directory: directory('`dist/services`', 'Folder whose sub-folders are services.'),
  plot_file: directory(
    '`dist/services/plot`',
    'The plot, from which the vault key is derived. On another disk than `state_directory` it protects more.',
  ),
})

/** Name of a YAML key. */
export type ConfigKey = keyof typeof CONFIG_SCHEMA.shape

/** Checked values with defaults, still named and (but for durations) measured as in the file. */
export type ConfigValues = z.output<typeof CONFIG_SCHEMA>

export const CONFIG_KEYS = Object.keys(CONFIG_SCHEMA.shape) as readonly ConfigKey[]

export function isConfigKey(name: string): name is ConfigKey {
  return Object.hasOwn(CONFIG_SCHEMA.shape, name)
}

/** What the schema says of `name`. */
export function metaOf(name: ConfigKey): KeyMeta {
  return CONFIG_SCHEMA.shape[name].meta() as unknown as KeyMeta
}
