import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { assert } from '../base/assert.ts'
import { type ControlStore, type Entry, jsonValue, type Transaction } from '../base/control-store.ts'
import type { PendingNode } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'
import type { Clock } from '../base/time.ts'

const PREFIX = 'pki/pending/'
/** Of one address: a stranger must not fill the queue for the others. */
const PENDING_PER_ADDRESS_MAX = 8
/** A request nobody decided on, and a decision nobody fetched, is forgotten after this. */
const KEPT_MS = 86_400_000

/** `issued`: approved, and the certificate was made; its key may fetch it again when the answer got lost. */
type Decision = 'none' | 'approved' | 'rejected' | 'issued'

interface StoredRequest extends PendingNode {
  decision: Decision
}

/** What a stranger asks for; together with the key's fingerprint it names the request. */
export interface Applicant {
  node_id: NodeId
  role: NodeRole
  fingerprint: string
}

/** Requests that wait for a person, in the control store, so that they and the decisions survive a restart. */
export class PendingQueue {
  readonly #store: ControlStore
  readonly #clock: Clock
  readonly #requestsMax: number
  readonly #requests = new Map<string, { request: StoredRequest; revision: number }>()
  readonly #waiters = new Map<string, Set<() => void>>()

  constructor(store: ControlStore, clock: Clock, requestsMax: number) {
    this.#store = store
    this.#clock = clock
    this.#requestsMax = requestsMax
  }

  async load(): Promise<void> {
    for (const entry of await this.#store.range(PREFIX)) this.#remember(entry)
  }

  /** Those nobody decided on yet, oldest first. */
  list(): PendingNode[] {
    return [...this.#requests.values()]
      .filter(({ request }) => request.decision === 'none' && !this.#isOld(request))
      .map(({ request }) => publicFacts(request))
      .sort((a, b) => a.requested_at_ms - b.requested_at_ms)
  }

  /** The request of exactly this key, name and role, with the decision made on it. */
  find(applicant: Applicant): { request: PendingNode; decision: Decision } | undefined {
    const found = this.#requests.get(requestId(applicant))?.request
    if (!found || this.#isOld(found)) return undefined
    return { request: publicFacts(found), decision: found.decision }
  }

  /**
   * Puts a request into the queue; one that waits already stays as it is, since a person may be looking at it.
   * @throws {PkiError} P2P_PKI_BUSY when the queue is full
   */
  async add(node: Omit<PendingNode, 'request_id' | 'requested_at_ms'>): Promise<PendingNode> {
    const found = this.find(node)
    if (found?.decision === 'none') return found.request
    const before = this.#requests.get(requestId(node))
    await this.#forgetOld()
    const waiting = [...this.#requests.values()].filter(({ request }) => request.decision === 'none')
    const ofAddress = waiting.filter(({ request }) => request.remote_address === node.remote_address)
    if (waiting.length >= this.#requestsMax || ofAddress.length >= PENDING_PER_ADDRESS_MAX) {
      throw new PkiError(
        'P2P_PKI_BUSY',
        `${waiting.length} nodes wait for approval, ${ofAddress.length} of them from ${node.remote_address}: an admin decides on them with p2p nodes pending`,
      )
    }
    const request: StoredRequest = {
      ...node,
      request_id: requestId(node),
      requested_at_ms: this.#clock.wallMs(),
      decision: 'none',
    }
    // When it was added by another call meanwhile, or decided on, that stands.
    await this.#save(request, this.#requests.has(request.request_id) ? (before?.revision ?? 0) : 0)
    return publicFacts(request)
  }

  /**
   * @param requestIdOrNodeId a request id, or a node id for which only one request waits
   * @throws {PkiError} P2P_PKI_REQUEST_UNKNOWN; P2P_PKI_PROOF_REJECTED when the fingerprint is another
   */
  async decide(
    requestIdOrNodeId: string,
    decision: 'approved' | 'rejected',
    fingerprint?: string,
  ): Promise<PendingNode> {
    const { request, revision } = this.#one(requestIdOrNodeId)
    const expected = fingerprint?.trim().toLowerCase().replaceAll(':', '')
    if (expected !== undefined && expected !== request.fingerprint) {
      throw new PkiError(
        'P2P_PKI_PROOF_REJECTED',
        `The key of ${request.node_id} that waits has the fingerprint ${request.fingerprint}, not ${expected}: it is another machine`,
        { fingerprint: request.fingerprint },
      )
    }
    // A new time, so that the decision is kept for as long as a fresh request.
    if (!(await this.#save({ ...request, decision, requested_at_ms: this.#clock.wallMs() }, revision))) {
      throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', `${request.node_id} was decided on by somebody else a moment ago`)
    }
    for (const wake of this.#waiters.get(request.request_id) ?? []) wake()
    return publicFacts(request)
  }

  /** Uses up an approval; to be committed with the certificate, and then {@link refresh}. */
  issuance(applicant: Applicant): Transaction {
    const id = requestId(applicant)
    const found = this.#requests.get(id)
    assert(found, 'an approved request is in the queue')
    const issued: StoredRequest = { ...found.request, decision: 'issued' }
    return {
      compares: [{ key: PREFIX + id, revision: found.revision }],
      operations: [{ type: 'put', key: PREFIX + id, value: jsonValue(issued) }],
    }
  }

  /** Reads a request again that was changed by a commit from outside. */
  async refresh(applicant: Applicant): Promise<void> {
    const entry = await this.#store.get(PREFIX + requestId(applicant))
    if (entry) this.#remember(entry)
  }

  /** Resolves at the next decision on this request, or when the signal is aborted; never rejects. */
  changed(applicant: Applicant, signal: AbortSignal): Promise<void> {
    const id = requestId(applicant)
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(id) ?? new Set()
      this.#waiters.set(id, waiters)
      const wake = (): void => {
        waiters.delete(wake)
        if (waiters.size === 0) this.#waiters.delete(id)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      waiters.add(wake)
      signal.addEventListener('abort', wake, { once: true })
      if (signal.aborted) wake()
    })
  }

  #one(requestIdOrNodeId: string): { request: StoredRequest; revision: number } {
    const waiting = [...this.#requests.values()].filter(
      ({ request }) => request.decision === 'none' && !this.#isOld(request),
    )
    const byId = waiting.find(({ request }) => request.request_id === requestIdOrNodeId)
    if (byId) return byId
    const ofNode = waiting.filter(({ request }) => request.node_id === requestIdOrNodeId)
    if (ofNode.length === 1) return ofNode[0] as { request: StoredRequest; revision: number }
    const reason =
      ofNode.length === 0
        ? `Nothing named ${requestIdOrNodeId} waits for approval`
        : `${ofNode.length} machines wait under the name ${requestIdOrNodeId}: name the one by its request id`
    throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', reason, { waiting: ofNode.map(({ request }) => request.request_id) })
  }

  async #save(request: StoredRequest, revision: number): Promise<boolean> {
    const key = PREFIX + request.request_id
    const result = await this.#store.transact({
      compares: [{ key, revision }],
      operations: [{ type: 'put', key, value: jsonValue(request) }],
    })
    if (result.succeeded) this.#requests.set(request.request_id, { request, revision: result.revision })
    return result.succeeded
  }

  #remember({ value, revision }: Entry): void {
    const request = JSON.parse(Buffer.from(value).toString()) as StoredRequest
    this.#requests.set(request.request_id, { request, revision })
  }

  async #forgetOld(): Promise<void> {
    const old = [...this.#requests.keys()].filter((id) => this.#isOld(this.#requests.get(id)?.request as StoredRequest))
    if (old.length === 0) return
    await this.#store.transact({ operations: old.map((id) => ({ type: 'delete', key: PREFIX + id })) })
    for (const id of old) this.#requests.delete(id)
  }

  #isOld(request: StoredRequest): boolean {
    return request.requested_at_ms < this.#clock.wallMs() - KEPT_MS
  }
}

/** The same key asking again for the same name is the same request. */
function requestId(applicant: Applicant): string {
  const text = [applicant.fingerprint, applicant.role, applicant.node_id].join('/')
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

function publicFacts(request: StoredRequest): PendingNode {
  const { decision: _, ...facts } = request
  return facts
}
