import { DeployError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { readBundleManifest } from '../bundle/read-bundle.ts'
import { type BundleStatement, type SignedBundle, verifiedStatement } from '../bundle/signed-bundle.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { NodeVerifier } from '../node-signature.ts'
import { ArtifactDownload, type FetchProgress } from './artifact-download.ts'
import type { ArtifactFacts } from './artifact-facts.ts'
import type { ArtifactSource } from './artifact-source.ts'
import type { ArtifactStore } from './artifact-store.ts'
import { SharedFetch } from './shared-fetch.ts'
import { Slots } from './slots.ts'
import { SourceLine } from './source-line.ts'

export interface FetchOptions {
  signal: AbortSignal
  onProgress?: (progress: FetchProgress) => void
}

/** Brings artifacts into this node's store from whoever has them. */
export interface ArtifactFetcher {
  /**
   * Fetches what a coordinator of the cluster signed: from neighbours in random order, from coordinators last. What is here already
   * is not fetched again, not even after a failure or a restart. Callers for the same artifact share one fetch, with the
   * sources of the first; it ends when all of them have given up.
   * @throws {DeployError} P2P_BUNDLE_SIGNATURE_INVALID; P2P_ARTIFACT_UNAVAILABLE with each source's reason; P2P_ARTIFACT_NO_ROOM;
   *   P2P_ARTIFACT_BUSY; what {@link readBundleManifest} throws
   */
  fetch(signed: SignedBundle, sources: readonly ArtifactSource[], options: FetchOptions): Promise<ArtifactFacts>
}

export interface ArtifactFetcherNeeds {
  store: ArtifactStore
  verifier: NodeVerifier
  clock: Clock
  random: Random
  log: Logger
}

export interface ArtifactFetcherOptions {
  cluster: string
  /** Artifacts fetched at once. Default 2: more would only share the same line. */
  fetchesMax?: number
  /** A source that gives nothing to speak of for so long is left. Default 15,000. */
  stallMs?: number
}

const FETCHES_MAX_DEFAULT = 2
const STALL_MS_DEFAULT = 15_000

export function createArtifactFetcher(needs: ArtifactFetcherNeeds, options: ArtifactFetcherOptions): ArtifactFetcher {
  return new SharingArtifactFetcher(needs, options)
}

interface Fetch {
  work: SharedFetch<ArtifactFacts>
  listeners: Set<(progress: FetchProgress) => void>
}

class SharingArtifactFetcher implements ArtifactFetcher {
  readonly #needs: ArtifactFetcherNeeds
  readonly #cluster: string
  readonly #stallMs: number
  readonly #slots: Slots
  readonly #fetches = new Map<ArtifactDigest, Fetch>()

  constructor(needs: ArtifactFetcherNeeds, { cluster, fetchesMax, stallMs }: ArtifactFetcherOptions) {
    this.#needs = needs
    this.#cluster = cluster
    this.#stallMs = stallMs ?? STALL_MS_DEFAULT
    this.#slots = new Slots(fetchesMax ?? FETCHES_MAX_DEFAULT)
  }

  async fetch(
    signed: SignedBundle,
    sources: readonly ArtifactSource[],
    { signal, onProgress }: FetchOptions,
  ): Promise<ArtifactFacts> {
    const statement = verifiedStatement(this.#needs.verifier, signed, this.#cluster)
    signal.throwIfAborted()
    let fetch = this.#fetches.get(statement.digest)
    while (fetch?.work.isAbandoned) {
      await fetch.work.ended()
      fetch = this.#fetches.get(statement.digest)
    }
    fetch ??= this.#begin(statement, signed, sources)
    if (onProgress) fetch.listeners.add(onProgress)
    try {
      return await fetch.work.join(signal)
    } finally {
      if (onProgress) fetch.listeners.delete(onProgress)
    }
  }

  #begin(statement: BundleStatement, signed: SignedBundle, sources: readonly ArtifactSource[]): Fetch {
    const { digest } = statement
    const listeners = new Set<(progress: FetchProgress) => void>()
    const tell = (progress: FetchProgress): void => {
      for (const listener of listeners) listener(progress)
    }
    const run = async (signal: AbortSignal): Promise<ArtifactFacts> => {
      try {
        return await this.#slots.run(signal, () => this.#fetch(statement, signed, sources, signal, tell))
      } finally {
        this.#fetches.delete(digest)
      }
    }
    const fetch = { work: new SharedFetch(run), listeners }
    this.#fetches.set(digest, fetch)
    return fetch
  }

  async #fetch(
    statement: BundleStatement,
    signed: SignedBundle,
    sources: readonly ArtifactSource[],
    signal: AbortSignal,
    onProgress: (progress: FetchProgress) => void,
  ): Promise<ArtifactFacts> {
    const { store, clock, log, random } = this.#needs
    const there = store.get(statement.digest)
    if (there) return there
    const line = new SourceLine(statement.digest, sources, random)
    const download = new ArtifactDownload(
      { store, clock, log },
      { statement, stallMs: this.#stallMs, line, signal, onProgress },
    )
    const writer = await download.run()
    try {
      return await writer.commit(await readBundleManifest(writer.content(), signal), signed)
    } catch (error) {
      // It is what was signed, and yet it cannot be used: there is nothing to go on with.
      if (error instanceof DeployError) await writer.discard()
      throw error
    } finally {
      await writer.close()
    }
  }
}
