import type { ControlStore, Transaction } from '../base/control-store.ts'
import { jsonValue } from '../base/control-store.ts'
import type { NodeBan } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { NodeId } from '../base/identity.ts'
import type { Applicant } from './pending-queue.ts'

const PREFIX = 'pki/bans/'
/** Each is asked at every join and kept in memory. */
const BANS_MAX = 10_000

/** Node ids and keys that nothing lets in: no token, no plot, no approval. */
export class Bans {
  readonly #store: ControlStore
  readonly #bans = new Map<NodeId, NodeBan>()
  readonly #keys = new Map<string, NodeId>()

  constructor(store: ControlStore) {
    this.#store = store
  }

  async load(): Promise<void> {
    const decoder = new TextDecoder()
    for (const { value } of await this.#store.range(PREFIX))
      this.#remember(JSON.parse(decoder.decode(value)) as NodeBan)
  }

  /** Newest first. */
  list(): NodeBan[] {
    return [...this.#bans.values()].sort((a, b) => b.banned_at_ms - a.banned_at_ms)
  }

  /**
   * Resolves once it is durable; keys and reason of an earlier ban of the same node are kept.
   * @throws {PkiError} P2P_PKI_BUSY when there are 10,000
   */
  async add(ban: NodeBan): Promise<NodeBan> {
    const earlier = this.#bans.get(ban.node_id)
    if (!earlier && this.#bans.size >= BANS_MAX) {
      throw new PkiError('P2P_PKI_BUSY', `${BANS_MAX} nodes are banned: lift a ban first (p2p nodes unban)`)
    }
    const keys = [...new Set([...(earlier?.key_fingerprints ?? []), ...ban.key_fingerprints])]
    const merged = { ...earlier, ...ban, key_fingerprints: keys }
    await this.#store.transact({ operations: [{ type: 'put', key: PREFIX + ban.node_id, value: jsonValue(merged) }] })
    this.#remember(merged)
    return merged
  }

  /** @throws {PkiError} P2P_PKI_REQUEST_UNKNOWN when the node is not banned */
  async lift(nodeId: NodeId): Promise<NodeBan> {
    const ban = this.#bans.get(nodeId)
    if (!ban) throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', `${nodeId} is not banned`, { nodeId })
    await this.#store.transact({ operations: [{ type: 'delete', key: PREFIX + nodeId }] })
    this.#bans.delete(nodeId)
    this.#keys.clear()
    for (const other of this.#bans.values()) this.#remember(other)
    return ban
  }

  /** @throws {PkiError} P2P_PKI_BANNED when the name or the key is */
  check({ node_id: nodeId, fingerprint }: Applicant): void {
    const banned = this.#bans.has(nodeId) ? nodeId : this.#keys.get(fingerprint)
    if (banned === undefined) return
    const what =
      banned === nodeId ? `The node id ${nodeId} is banned` : `The key of ${nodeId} was banned with ${banned}`
    throw new PkiError(
      'P2P_PKI_BANNED',
      `${what} from this cluster. An admin lifts it with p2p nodes unban ${banned}`,
      {
        nodeId: banned,
      },
    )
  }

  /** A condition to be committed with a certificate: its node id has not been banned meanwhile. */
  absence(nodeId: NodeId): NonNullable<Transaction['compares']> {
    return [{ key: PREFIX + nodeId, revision: 0 }]
  }

  #remember(ban: NodeBan): void {
    this.#bans.set(ban.node_id, ban)
    for (const key of ban.key_fingerprints) this.#keys.set(key, ban.node_id)
  }
}
