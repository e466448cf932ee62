import { type ControlStore, jsonValue } from '../../base/control-store.ts'
import { DeployError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'
import { isSecretName, SECRET_BYTES_MAX, SECRETS_MAX } from './secrets.ts'
import type { SecretFacts } from '../../base/secrets.ts'

/** Values of one secret that are kept, the newest first: a service that goes back gets the value it had. */
const VERSIONS_MAX = 5

interface StoredSecret {
  /** Also after a deletion: a node that slept must not take an old value for a new one. */
  lastVersion: number
  /** Empty: deleted. */
  versions: { version: number; value: string; atMs: number; by: string }[]
}

const PREFIX = 'secrets/'

/**
 * The secrets as they are kept in the coordinator's vault, encrypted there, and in memory. Changes are durable when answered;
 * they are made one after the other.
 */
export class SecretStore {
  readonly #store: ControlStore
  readonly #clock: Clock
  readonly #log: Logger
  readonly #secrets = new Map<string, StoredSecret>()

  constructor({ store, clock, log }: { store: ControlStore; clock: Clock; log: Logger }) {
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  async load(): Promise<void> {
    for (const { key, value } of await this.#store.range(PREFIX)) {
      this.#secrets.set(key.slice(PREFIX.length), JSON.parse(new TextDecoder().decode(value)) as StoredSecret)
    }
  }

  facts(): Omit<SecretFacts, 'usedBy'>[] {
    return [...this.#secrets]
      .flatMap(
        ([
          name,
          {
            versions: [newest],
          },
        ]) => (newest ? [{ name, version: newest.version, updatedAtMs: newest.atMs, by: newest.by }] : []),
      )
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** The newest version, or the one asked for as long as it is kept. @returns undefined for a secret that is not there */
  version(name: string, wanted?: number): number | undefined {
    const { versions = [] } = this.#secrets.get(name) ?? {}
    return (versions.find(({ version }) => version === wanted) ?? versions[0])?.version
  }

  value(name: string, version: number): string | undefined {
    return this.#secrets.get(name)?.versions.find((candidate) => candidate.version === version)?.value
  }

  /** @throws {DeployError} P2P_DEPLOY_INVALID */
  async set(name: string, value: string, by: string): Promise<Omit<SecretFacts, 'usedBy'>> {
    if (!isSecretName(name)) {
      throw invalid(`"${name}" is no name of a secret: 1 to 128 letters, digits, "_", "-", "." or "/"`, name)
    }
    const bytes = new TextEncoder().encode(value).byteLength
    if (bytes > SECRET_BYTES_MAX)
      throw invalid(`Secret ${name} has ${bytes} bytes, ${SECRET_BYTES_MAX} are allowed`, name)
    const present = this.#secrets.get(name)
    if (!present && this.#secrets.size >= SECRETS_MAX) {
      throw invalid(`There are ${SECRETS_MAX} secrets already: delete one that is not used`, name)
    }
    const { lastVersion = 0, versions = [] } = present ?? {}
    const version = lastVersion + 1
    const newest = { version, value, atMs: this.#clock.wallMs(), by }
    await this.#keep(name, { lastVersion: version, versions: [newest, ...versions].slice(0, VERSIONS_MAX) })
    this.#log.info('A secret got a new value', { name, version, by })
    return { name, version, updatedAtMs: newest.atMs, by }
  }

  /** @throws {DeployError} P2P_DEPLOY_SECRET_UNKNOWN */
  async delete(name: string, by: string): Promise<void> {
    const { lastVersion = 0, versions = [] } = this.#secrets.get(name) ?? {}
    if (versions.length === 0) {
      throw new DeployError('P2P_DEPLOY_SECRET_UNKNOWN', `There is no secret ${name}`, { name })
    }
    await this.#keep(name, { lastVersion, versions: [] })
    this.#log.info('A secret was deleted', { name, by })
  }

  async #keep(name: string, secret: StoredSecret): Promise<void> {
    await this.#store.transact({ operations: [{ type: 'put', key: PREFIX + name, value: jsonValue(secret) }] })
    this.#secrets.set(name, secret)
  }
}

function invalid(message: string, name: string): DeployError {
  return new DeployError('P2P_DEPLOY_INVALID', message, { name })
}
