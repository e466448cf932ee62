import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { ConfigError, messageOf } from '../base/errors.ts'
import { SMTP_PORTS } from './alerts.ts'
import { checkValues } from './check.ts'
import { deepFreeze } from './deep-freeze.ts'
import { configError } from './issue.ts'
import type { NodeConfig, RateLimit } from './node-config.ts'
import { COORDINATOR_PORT, type ConfigKey, type ConfigValues, defaultEntry, WORKER_PORT } from './schema.ts'
import type { Environment } from './secrets.ts'
import { type Placed, readYaml } from './yaml-source.ts'

/** Where settings come from; later sources win: defaults, file, environment, flags. */
export interface ConfigSources {
  /** The YAML file, relative to `workingDirectory`. */
  file?: string | undefined
  /** The file's text; read from the disk when absent. */
  text?: string | undefined
  /** Only P2P_REDIS_URL, P2P_WEBHOOK_SECRET, P2P_SMTP_PASSWORD and P2P_OIDC_CLIENT_SECRET are read: the environment is for secrets. */
  environment?: Environment
  /** Values of YAML keys given otherwise: by a flag, or by the program itself. */
  flags?: Readonly<Partial<Record<ConfigKey, unknown>>>
  /** Place of the vault, relative to `workingDirectory`; by default in the state directory. */
  storagePath?: string | undefined
  isVerbose?: boolean
  /** @default process.cwd() */
  workingDirectory?: string
}

/** Keys with a flag of another name. Errors show the flag. */
const FLAG_NAMES: Readonly<Partial<Record<ConfigKey, string>>> = {
  bind_address: '--address',
  coordinator_addresses: '--coord',
}

/**
 * Reads, checks and completes a node's settings. Nothing else is opened.
 * @throws {ConfigError} P2P_CONFIG_NOT_FOUND; P2P_CONFIG_UNKNOWN_KEY or P2P_CONFIG_INVALID with every issue,
 *   a line each: `file:line:column: message`
 */
export function loadConfig(sources: ConfigSources): NodeConfig {
  const workingDirectory = sources.workingDirectory ?? process.cwd()
  const placed = new Map<string, Placed>()
  if (sources.file !== undefined) {
    const text = sources.text ?? readText(resolve(workingDirectory, sources.file), sources.file)
    const yaml = readYaml(text, sources.file)
    if (yaml.issues.length > 0) throw configError(yaml.issues)
    for (const [key, value] of yaml.values) placed.set(key, value)
  }
  const redisUrl = sources.environment?.P2P_REDIS_URL
  if (redisUrl) placed.set('redis_url', placedBy('P2P_REDIS_URL', redisUrl))
  for (const [key, value] of Object.entries(sources.flags ?? {})) {
    if (value === undefined) continue
    placed.set(key, placedBy(FLAG_NAMES[key as ConfigKey] ?? `--${key.replaceAll('_', '-')}`, value))
  }
  const start =
    sources.file === undefined ? { source: 'flags', line: 0, column: 0 } : { source: sources.file, line: 1, column: 1 }
  const { values, issues } = checkValues(placed, start)
  if (issues.length > 0) throw configError(issues)
  return deepFreeze(resolveValues(values, sources, workingDirectory))
}

function placedBy(source: string, value: unknown): Placed {
  const place = { source, line: 0, column: 0 }
  return { value, place, keyPlace: place }
}

const NO_FILE =
  'there is no such file. For a first coordinator one line is enough, coordinator_mode: true; for a worker, coordinator_addresses: ["HOST:8001"]'

function readText(path: string, shown: string): string {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const why = code === 'ENOENT' ? NO_FILE : code === 'EISDIR' ? 'it is a folder' : messageOf(error)
    throw new ConfigError(
      'P2P_CONFIG_NOT_FOUND',
      `The configuration ${shown} cannot be read: ${why}`,
      { file: shown },
      { cause: error },
    )
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ConfigError('P2P_CONFIG_INVALID', `${shown}: the file is not UTF-8 text`, { file: shown })
  }
}

/** `config/worker.yaml` belongs to the folder that holds `config`, so that its paths work from any directory. */
function homeOf(file: string | undefined, workingDirectory: string): string {
  if (file === undefined) return workingDirectory
  const folder = dirname(resolve(workingDirectory, file))
  return basename(folder).toLowerCase() === 'config' ? dirname(folder) : folder
}

function resolveValues(values: ConfigValues, sources: ConfigSources, workingDirectory: string): NodeConfig {
  const homeDirectory = homeOf(sources.file, workingDirectory)
  const role = values.coordinator_mode ? 'coordinator' : 'worker'
  const stateDirectory = resolve(homeDirectory, values.state_directory ?? join('data', role))
  const limit = (requestsPerMinute: number, burst: number): RateLimit => ({ requestsPerMinute, burst })
  return {
    file: sources.file,
    homeDirectory,
    nodeId: values.node_id ?? defaultNodeId(role),
    role,
    bindAddress: values.bind_address,
    port: values.port ?? (role === 'coordinator' ? COORDINATOR_PORT : WORKER_PORT),
    advertiseAddress: values.advertise_address,
    interfaceKinds: values.network_interfaces ?? {},
    labels: values.labels ?? {},
    coordinatorAddresses: values.coordinator_addresses ?? [],
    securityProfile: values.security_profile,
    certificateEntries: {
      certificate: values.ssl_cert_file ?? defaultEntry('ssl_cert_file', role),
      key: values.ssl_key_file ?? defaultEntry('ssl_key_file', role),
      caCertificate: values.ssl_ca_cert_file ?? defaultEntry('ssl_ca_cert_file', role),
      caKey: role === 'coordinator' ? (values.ssl_ca_key_file ?? defaultEntry('ssl_ca_key_file', role)) : undefined,
    },
    certificateLifetimeMs: values.certificate_lifetime,
    challengePort: values.challenge_port,
    gossipIntervalMsMin: values.gossip_interval_min * 1_000,
    gossipIntervalMsMax: values.gossip_interval_max * 1_000,
    gossipCompressionBytesMin: values.gossip_compression_enabled ? values.gossip_compression_threshold : undefined,
    rateLimits: values.rate_limit_enabled
      ? {
          rpc: limit(values.rate_limit_rpc_requests, values.rate_limit_rpc_burst),
          health: limit(values.rate_limit_health_requests, values.rate_limit_health_burst),
          default: limit(values.rate_limit_default_requests, values.rate_limit_default_burst),
        }
      : undefined,
    dns: values.dns_port === 0 ? undefined : { address: values.dns_address, port: values.dns_port },
    connectTimeoutMs: values.connect_timeout * 1_000,
    readTimeoutMs: values.read_timeout * 1_000,
    redisUrl: values.redis_enabled ? values.redis_url : undefined,
    logEntriesMax: values.max_log_entries,
    logRetentionMs: values.log_retention_days * 86_400_000,
    logStoreBytesMax: values.log_store_max_mb * 2 ** 20,
    logSpoolBytesMax: values.log_spool_max_mb * 2 ** 20,
    otlp:
      values.otlp_endpoint === undefined
        ? undefined
        : {
            endpoint: values.otlp_endpoint.replace(/\/+$/, ''),
            metricsEveryMs: values.otlp_metrics_interval * 1_000,
            traceRatio: values.otlp_trace_percent / 100,
          },
    logLevel: sources.isVerbose ? 'DEBUG' : 'INFO',
    oidc: oidcOf(values.oidc, sources.environment, homeDirectory),
    alerts: alertsOf(values.alerts, sources.environment, homeDirectory),
    stateDirectory,
    storagePath:
      sources.storagePath === undefined
        ? join(stateDirectory, 'vault')
        : resolve(workingDirectory, sources.storagePath),
    plotFile: resolve(homeDirectory, values.plot_file ?? join('dist', 'services', 'plot')),
    servicesDirectory: resolve(homeDirectory, values.services_directory ?? join('dist', 'services')),
  }
}

function oidcOf(
  oidc: ConfigValues['oidc'],
  environment: Environment | undefined,
  homeDirectory: string,
): NodeConfig['oidc'] {
  return (
    oidc && {
      issuer: oidc.issuer,
      clientId: oidc.client_id,
      clientSecret: environment?.P2P_OIDC_CLIENT_SECRET || undefined,
      clientSecretName: oidc.client_secret_name,
      nameClaim: oidc.name_claim,
      roleClaim: oidc.role_claim,
      roles: oidc.roles,
      caFile: oidc.ca_file === undefined ? undefined : resolve(homeDirectory, oidc.ca_file),
    }
  )
}

function alertsOf(
  alerts: ConfigValues['alerts'],
  environment: Environment | undefined,
  homeDirectory: string,
): NodeConfig['alerts'] {
  const { webhooks = [], email, script } = alerts ?? {}
  const secret = environment?.P2P_WEBHOOK_SECRET || undefined
  return {
    webhooks: webhooks.map((url) => ({ url, secret })),
    email: email && {
      ...email,
      port: email.port ?? SMTP_PORTS[email.security],
      user: email.user,
      password: environment?.P2P_SMTP_PASSWORD || undefined,
    },
    script: script === undefined ? undefined : resolve(homeDirectory, script),
  }
}

/** As the Python program named its nodes; what a node id may not contain becomes `-`. */
function defaultNodeId(role: string): string {
  const host =
    hostname()
      .split('.')[0]
      ?.replace(/[^A-Za-z0-9-]/g, '-')
      .slice(0, 48) || 'node'
  return `${role}-${host}`
}
