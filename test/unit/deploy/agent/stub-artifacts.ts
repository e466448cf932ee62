import type { AgentArtifacts, UnpackedArtifact } from '../../../../src/deploy/index.ts'
import type { Manifest } from '../../../../src/service/index.ts'

/** Artifacts that are there when they are asked for, unless a test says otherwise. */
export class StubArtifacts implements AgentArtifacts {
  readonly present = new Set<string>()
  readonly manifests = new Map<string, Manifest>()
  readonly fetched: string[] = []
  failure: Error | undefined
  gate: Promise<void> | undefined
  /** Holds up what removes the others. */
  removalGate: Promise<void> | undefined

  has(digest: string): boolean {
    return this.present.has(digest)
  }

  async ensure(digest: string, signal: AbortSignal): Promise<UnpackedArtifact> {
    await this.gate
    signal.throwIfAborted()
    if (!this.present.has(digest)) {
      if (this.failure) throw this.failure
      this.fetched.push(digest)
      this.present.add(digest)
    }
    return { folder: `/artifacts/${digest}`, manifest: this.manifests.get(digest) ?? {}, kind: 'process' }
  }

  async keepOnly(wanted: () => ReadonlySet<string>): Promise<void> {
    await this.removalGate
    for (const digest of this.present) if (!wanted().has(digest)) this.present.delete(digest)
  }
}
