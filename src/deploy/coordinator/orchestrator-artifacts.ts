import type { MethodDescriptor } from '../../service/index.ts'
import type { ArtifactFacts } from '../artifacts/artifact-facts.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'

/** The bundles on the coordinator, as far as the orchestrator needs them. */
export interface OrchestratorArtifacts {
  get(digest: ArtifactDigest): ArtifactFacts | undefined
  /**
   * Which methods the code of a bundle has; nothing of it is initialized.
   * @throws {P2PError} why nobody can tell before it runs
   */
  methodsOf(facts: ArtifactFacts): Promise<readonly MethodDescriptor[]>
  /** Removes artifacts that are not in `keep`, and were not just uploaded. */
  keepOnly(keep: ReadonlySet<ArtifactDigest>): Promise<void>
}
