import { DeployError } from '../../base/errors.ts'
import type { NodeId } from '../../base/identity.ts'
import { type Random, shuffle } from '../../base/random.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { ArtifactSource } from './artifact-source.ts'

/** Failures of one source until it is asked no more. */
const FAILURES_MAX = 3

/** Whom to ask next: neighbours in random order, so that nodes do not all ask the same one; then coordinators; then from the start. */
export class SourceLine {
  readonly #digest: ArtifactDigest
  readonly #line: ArtifactSource[]
  readonly #failures = new Map<NodeId, number>()
  readonly #reasons = new Map<NodeId, string>()

  constructor(digest: ArtifactDigest, sources: readonly ArtifactSource[], random: Random) {
    this.#digest = digest
    const neighbours = sources.filter((source) => !source.isCoordinator)
    const coordinators = sources.filter((source) => source.isCoordinator)
    this.#line = [...shuffle(random, neighbours), ...shuffle(random, coordinators)]
  }

  /** @throws {DeployError} P2P_ARTIFACT_UNAVAILABLE: nobody is left to ask */
  next(): ArtifactSource {
    const [source] = this.#line
    if (source) return source
    const reasons = [...this.#reasons].map(([nodeId, reason]) => `${nodeId}: ${reason}`)
    throw new DeployError(
      'P2P_ARTIFACT_UNAVAILABLE',
      `Nobody gave the artifact ${this.#digest} (${reasons.length > 0 ? reasons.join('; ') : 'no node has it'}). It is tried again; check that a coordinator is up`,
      { digest: this.#digest, reasons },
    )
  }

  /** To the end of the line, or out of it. */
  failed(nodeId: NodeId, reason: string, isFinal: boolean): void {
    const failures = (this.#failures.get(nodeId) ?? 0) + 1
    this.#failures.set(nodeId, failures)
    this.#reasons.set(nodeId, reason)
    const index = this.#line.findIndex((source) => source.nodeId === nodeId)
    const [source] = index < 0 ? [] : this.#line.splice(index, 1)
    if (source && !isFinal && failures < FAILURES_MAX) this.#line.push(source)
  }
}
