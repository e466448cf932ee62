import { messageOf } from '../../base/errors.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { MethodDescriptor } from '../../service/index.ts'
import type { ArtifactFacts } from '../artifacts/artifact-facts.ts'
import type { OrchestratorArtifacts } from './orchestrator-artifacts.ts'

/** Bundles whose methods are remembered: asking the code again takes a third of a second. */
const REMEMBERED_MAX = 256

/** What is known of a version's methods before it runs. `unknown`: why nothing is, for people. */
export type MethodsOfBundle =
  | { methods: readonly MethodDescriptor[]; unknown?: undefined }
  | { methods?: undefined; unknown: string }

/** The methods of bundles: what whoever packed them says, else what their code says. */
export class KnownMethods {
  readonly #artifacts: OrchestratorArtifacts
  readonly #known = new Map<ArtifactDigest, MethodsOfBundle>()

  constructor(artifacts: OrchestratorArtifacts) {
    this.#artifacts = artifacts
  }

  async of(digest: ArtifactDigest): Promise<MethodsOfBundle> {
    const known = this.#known.get(digest)
    if (known) return known
    const facts = this.#artifacts.get(digest)
    if (!facts) return { unknown: `there is no bundle ${digest} here any more` }
    try {
      const methods = describedBy(facts) ?? (await this.#artifacts.methodsOf(facts))
      if (this.#known.size >= REMEMBERED_MAX) this.#known.delete(this.#known.keys().next().value as ArtifactDigest)
      this.#known.set(digest, { methods })
      return { methods }
    } catch (error) {
      return { unknown: messageOf(error) }
    }
  }
}

/** Only names and schemas are in a bundle; the rest is equal on both sides of a comparison. */
function describedBy(facts: ArtifactFacts): MethodDescriptor[] | undefined {
  return facts.methods?.map((method) => ({
    service: facts.service,
    description: '',
    timeoutMs: 0,
    cacheTtlMs: 0,
    requiredRole: 'operator',
    ...method,
  }))
}
