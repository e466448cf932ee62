import type { ArtifactFacts } from '../artifacts/artifact-facts.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'

/** The bundles on the coordinator, as far as the orchestrator needs them. */
export interface OrchestratorArtifacts {
  get(digest: ArtifactDigest): ArtifactFacts | undefined
  /** Removes artifacts that are not in `keep`, and were not just uploaded. */
  keepOnly(keep: ReadonlySet<ArtifactDigest>): Promise<void>
}
