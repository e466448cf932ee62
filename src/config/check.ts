import { isLoopback } from './address.ts'
import { closest } from './closest.ts'
import type { ConfigIssue, Place } from './issue.ts'
import { REMOVED_KEYS } from './removed-keys.ts'
import {
  CONFIG_KEYS,
  CONFIG_SCHEMA,
  type ConfigKey,
  type ConfigValues,
  defaultEntry,
  isConfigKey,
  metaOf,
} from './schema.ts'
import type { Placed } from './yaml-source.ts'

/**
 * Checks every value by itself and then all of them together, so that one run shows everything that is wrong.
 * @param start place of what is missing
 * @returns `values` is whole when there are no issues
 */
export function checkValues(
  placed: ReadonlyMap<string, Placed>,
  start: Place,
): { values: ConfigValues; issues: ConfigIssue[] } {
  const issues: ConfigIssue[] = []
  for (const [name, { keyPlace }] of placed) {
    if (!isConfigKey(name)) issues.push({ place: keyPlace, key: name, message: refusal(name), isUnknownKey: true })
  }
  const values: Partial<Record<ConfigKey, unknown>> = {}
  for (const name of CONFIG_KEYS) {
    const given = placed.get(name)
    const message = given && checkOne(name, given.value, values)
    if (message) issues.push({ place: given.place, key: name, message, isUnknownKey: false })
    // What was refused takes part in the rules below as if it were absent; its default must not add a second complaint.
    else if (!given) values[name] = CONFIG_SCHEMA.shape[name].parse(undefined)
  }
  for (const { key, message } of brokenRules(values as Partial<ConfigValues>, placed)) {
    issues.push({ place: placed.get(key)?.place ?? start, key, message, isUnknownKey: false })
  }
  return { values: values as ConfigValues, issues }
}

function refusal(name: string): string {
  const reason = Object.hasOwn(REMOVED_KEYS, name) ? REMOVED_KEYS[name] : undefined
  if (reason !== undefined) return `${name} was removed: ${reason}`
  const suggestion = closest(name, CONFIG_KEYS)
  return suggestion === undefined
    ? `unknown key "${name}"; "p2p config keys" lists the keys there are`
    : `unknown key "${name}"; did you mean ${suggestion}?`
}

/** Puts the checked value into `values`; @returns what is wrong with it */
function checkOne(name: ConfigKey, value: unknown, values: Partial<Record<ConfigKey, unknown>>): string | undefined {
  const schema = CONFIG_SCHEMA.shape[name]
  // `key:` and `key: null` mean "not set", which only a key without a fixed default can be.
  const parsed = schema.safeParse(value === null && schema.safeParse(undefined).data === undefined ? undefined : value)
  if (parsed.success) {
    values[name] = parsed.data
    return undefined
  }
  const { expects, isSecret } = metaOf(name)
  return `${name}: expected ${expects}, not ${isSecret ? 'what is given' : describe(value)}${hint(value, expects)}`
}

const SHOWN_CHARACTERS_MAX = 60

function describe(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value))
    return value.length === 0 ? 'an empty list' : `[${value.map(describe).join(', ')}]`.slice(0, SHOWN_CHARACTERS_MAX)
  if (typeof value === 'object') return 'a map'
  if (typeof value === 'string')
    return value.length > SHOWN_CHARACTERS_MAX
      ? `${JSON.stringify(value.slice(0, SHOWN_CHARACTERS_MAX))}…`
      : JSON.stringify(value)
  return String(value as number | boolean)
}

/** The two slips that come with YAML 1.1 habits, and the one that comes with quotes. */
function hint(value: unknown, expects: string): string {
  if (typeof value !== 'string') return ''
  if (expects.startsWith('a whole number') && /^\d+$/.test(value)) return '; leave the quotes out'
  if (!expects.startsWith('true')) return ''
  if (/^(yes|on|true|y)$/i.test(value)) return '; write true'
  return expects === 'true or false' && /^(no|off|false|n)$/i.test(value) ? '; write false' : ''
}

interface BrokenRule {
  key: ConfigKey
  message: string
}

/** What no single key can know. A value that was refused is absent here. */
function* brokenRules(values: Partial<ConfigValues>, placed: ReadonlyMap<string, Placed>): Generator<BrokenRule> {
  const isCoordinator = values.coordinator_mode
  if (isCoordinator === false && !placed.has('coordinator_addresses')) {
    const message =
      'coordinator_addresses is missing: a worker must know its coordinator. Add it, or --coord HOST:PORT; or set coordinator_mode: true'
    yield { key: 'coordinator_addresses', message }
  }
  if (isCoordinator && values.coordinator_addresses) {
    const message = 'coordinator_addresses has no effect on a coordinator; remove it, or set coordinator_mode: false'
    yield { key: 'coordinator_addresses', message }
  }
  if (isCoordinator === false && values.ssl_ca_key_file !== undefined) {
    yield {
      key: 'ssl_ca_key_file',
      message: 'ssl_ca_key_file: only a coordinator has the key of the authority; remove it',
    }
  }
  const { gossip_interval_min: shortest, gossip_interval_max: longest } = values
  if (shortest !== undefined && longest !== undefined && shortest > longest) {
    const key = placed.has('gossip_interval_min') ? 'gossip_interval_min' : 'gossip_interval_max'
    yield { key, message: `gossip_interval_min (${shortest}) is larger than gossip_interval_max (${longest})` }
  }
  if (values.security_profile === 'open' && values.bind_address !== undefined && !isLoopback(values.bind_address)) {
    const message = `security_profile open lets everybody in, so it needs a loopback bind_address such as 127.0.0.1, not ${values.bind_address}`
    yield { key: 'security_profile', message }
  }
  if (values.redis_enabled && placed.has('redis_enabled') && !placed.has('redis_url')) {
    yield { key: 'redis_enabled', message: 'redis_enabled: true needs redis_url, for instance redis://localhost:6379' }
  }
  yield* sharedEntries(values)
  const { port, challenge_port: challengePort } = values
  if (port !== undefined && port !== 0 && port === challengePort) {
    yield {
      key: placed.has('challenge_port') ? 'challenge_port' : 'port',
      message: `port and challenge_port are both ${port}`,
    }
  }
}

const ENTRY_KEYS = ['ssl_ca_cert_file', 'ssl_ca_key_file', 'ssl_cert_file', 'ssl_key_file'] as const

/** Only the base name counts, so that two paths can name one vault entry. */
function* sharedEntries(values: Partial<ConfigValues>): Generator<BrokenRule> {
  const role = values.coordinator_mode ? 'coordinator' : 'worker'
  const owners = new Map<string, ConfigKey>()
  for (const key of ENTRY_KEYS) {
    const name = values[key] ?? defaultEntry(key, role)
    const owner = owners.get(name)
    if (owner) yield { key, message: `${key} and ${owner} name the same vault entry, ${name}` }
    else owners.set(name, key)
  }
}
