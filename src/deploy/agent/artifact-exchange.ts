import { z } from 'zod'
import { DeployError, messageOf } from '../../base/errors.ts'
import type { NodeId, NodeIdentity } from '../../base/identity.ts'
import type { Member, Membership } from '../../base/member.ts'
import { type Random, shuffle } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { type Caller, defineService, method, type ServiceDefinition } from '../../service/index.ts'
import type { ArtifactSource } from '../artifacts/artifact-source.ts'
import type { ArtifactStore } from '../artifacts/artifact-store.ts'
import type { SignedBundle } from '../bundle/signed-bundle.ts'
import { requireService } from '../internal-caller.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { contextOfNode } from '../node-call.ts'

/** Node-to-node, under the deadline of whoever waits for the artifact. */
const SERVICE = 'artifacts'
const ASK_TIMEOUT_MS = 10_000
/** A transfer in which nothing moves for so long has failed. */
const IDLE_MS_MAX = 30_000
/** Neighbours that are asked for one artifact, and for its signature. */
const NEIGHBOURS_MAX = 8
const HINTS_MAX = 256

export interface ArtifactExchangeNeeds {
  clock: Clock
  random: Random
  membership: Membership
  calls: Caller
  store: Pick<ArtifactStore, 'get' | 'read'>
  /** On a coordinator: signs what is asked for anew. */
  sign?(digest: ArtifactDigest): SignedBundle | undefined
  /** On a coordinator: nodes that said they have it. */
  holdersOf?(digest: ArtifactDigest): readonly NodeId[]
}

export interface ArtifactExchangeOptions {
  identity: NodeIdentity
  softwareVersion: string
}

/** Artifacts from node to node. */
export interface ArtifactExchange {
  /** The built-in service `artifacts`, by which other nodes read what this one has. */
  readonly service: ServiceDefinition
  /** Who may have it: neighbours first, coordinators last. */
  sourcesOf(digest: ArtifactDigest): ArtifactSource[]
  /**
   * What a coordinator signed of it, from a coordinator if one is there, else from a neighbour.
   * @throws {DeployError} P2P_ARTIFACT_UNAVAILABLE
   */
  signatureOf(digest: ArtifactDigest, signal: AbortSignal): Promise<SignedBundle>
}

const DIGEST = z.string().regex(/^[0-9a-f]{64}$/)

export function createArtifactExchange(
  needs: ArtifactExchangeNeeds,
  { identity, softwareVersion }: ArtifactExchangeOptions,
): ArtifactExchange {
  const { clock, random, membership, calls, store } = needs
  /** What a coordinator last said of who has what; only a hint. */
  const hints = new Map<ArtifactDigest, readonly NodeId[]>()

  const others = (): Member[] =>
    membership
      .members()
      .filter(({ record, status }) => status === 'alive' && record.nodeId !== identity.nodeId)
      .filter(({ record }) => record.services.some(({ name }) => name === SERVICE))

  const coordinatorsAndNeighbours = (digest: ArtifactDigest): { coordinators: Member[]; neighbours: Member[] } => {
    const coordinators = others().filter(({ record }) => record.role === 'coordinator')
    const workers = others().filter(({ record }) => record.role !== 'coordinator')
    // Without the coordinator that said it, whoever has fetched it since may have it too.
    const hinted = coordinators.length > 0 ? hints.get(digest) : undefined
    const likely = hinted ? workers.filter(({ record }) => hinted.includes(record.nodeId)) : workers
    return { coordinators, neighbours: shuffle(random, likely).slice(0, NEIGHBOURS_MAX) }
  }

  const source = ({ record: { nodeId, role } }: Member): ArtifactSource => ({
    nodeId,
    isCoordinator: role === 'coordinator',
    async *read(digest, offset, signal) {
      const context = contextOfNode({ clock, random }, identity, SERVICE, IDLE_MS_MAX, signal)
      const chunks = await calls.call('artifacts/read', { digest, offset }, context, nodeId)
      yield* chunks as AsyncIterable<Uint8Array>
    },
  })

  const ask = async (nodeId: NodeId, digest: ArtifactDigest, signal: AbortSignal): Promise<SignedBundle> => {
    const context = contextOfNode({ clock, random }, identity, SERVICE, ASK_TIMEOUT_MS, signal)
    const answer = (await calls.call('artifacts/describe', { digest }, context, nodeId)) as Description
    if (hints.size >= HINTS_MAX) hints.clear()
    if (answer.holders) hints.set(digest, answer.holders)
    return answer.signed
  }

  return {
    service: defineService({
      name: SERVICE,
      version: softwareVersion,
      description: 'Bundles of services, for the other nodes',
      methods: {
        read: method({
          description: 'Reads a bundle from an offset to its end; for nodes',
          public: true,
          requiredRole: 'admin',
          stream: true,
          timeoutMs: IDLE_MS_MAX,
          params: z.strictObject({ digest: DIGEST, offset: z.int().min(0) }),
          handler({ digest, offset }, { caller, signal }) {
            requireService(caller, 'artifacts/read', SERVICE)
            return store.read(digest, offset, signal)
          },
        }),
        describe: method({
          description: 'Tells what a coordinator signed of a bundle, and who has it; for nodes',
          public: true,
          requiredRole: 'admin',
          params: z.strictObject({ digest: DIGEST }),
          handler({ digest }, { caller }): Description {
            requireService(caller, 'artifacts/describe', SERVICE)
            const signed = needs.sign?.(digest) ?? store.get(digest)?.signed
            if (!signed) throw unknown(digest, identity.nodeId)
            const holders = needs.holdersOf?.(digest)
            return { signed, ...(holders && { holders: [...holders] }) }
          },
        }),
      },
    }),

    sourcesOf(digest) {
      const { coordinators, neighbours } = coordinatorsAndNeighbours(digest)
      return [...neighbours, ...coordinators].map(source)
    },

    async signatureOf(digest, signal) {
      const own = needs.sign?.(digest)
      if (own) return own
      const { coordinators, neighbours } = coordinatorsAndNeighbours(digest)
      const reasons: string[] = []
      for (const { record } of [...coordinators, ...neighbours]) {
        signal.throwIfAborted()
        try {
          return await ask(record.nodeId, digest, signal)
        } catch (error) {
          reasons.push(`${record.nodeId}: ${messageOf(error)}`)
        }
      }
      const told = store.get(digest)?.signed
      if (told) return told
      const message = `No node could say what bundle ${digest} is (${reasons.join('; ') || 'no other node is there'}): it is tried again when a coordinator is back`
      throw new DeployError('P2P_ARTIFACT_UNAVAILABLE', message, { digest })
    },
  }
}

interface Description {
  signed: SignedBundle
  holders?: NodeId[]
}

function unknown(digest: ArtifactDigest, nodeId: NodeId): DeployError {
  return new DeployError('P2P_ARTIFACT_UNKNOWN', `Node ${nodeId} does not have bundle ${digest}`, {
    digest,
    node: nodeId,
  })
}
