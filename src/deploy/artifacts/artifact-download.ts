import type { NodeId } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'
import type { BundleStatement } from '../bundle/signed-bundle.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { ArtifactSource } from './artifact-source.ts'
import type { ArtifactStore } from './artifact-store.ts'
import type { ArtifactWriter } from './artifact-writer.ts'
import type { SourceLine } from './source-line.ts'
import { readSource, SourceFailure } from './source-reader.ts'

export interface FetchProgress {
  digest: ArtifactDigest
  /** On this disk so far. */
  bytes: number
  sizeBytes: number
  /** Who gives it at present. */
  nodeId: NodeId
}

export interface DownloadNeeds {
  store: ArtifactStore
  clock: Clock
  log: Logger
}

export interface DownloadTask {
  statement: BundleStatement
  stallMs: number
  line: SourceLine
  signal: AbortSignal
  onProgress: (progress: FetchProgress) => void
}

/**
 * Brings one artifact here, from one source after the other. Each goes on where the last one stopped. If the whole has another
 * digest then, nobody knows whose part was wrong: from there on all of it must come from one source, and the liar is found.
 */
export class ArtifactDownload {
  readonly #needs: DownloadNeeds
  readonly #task: DownloadTask
  /** Who gave what is here; undefined: an earlier download. */
  readonly #givers = new Set<NodeId | undefined>()
  #isFromOne = false

  constructor(needs: DownloadNeeds, task: DownloadTask) {
    this.#needs = needs
    this.#task = task
  }

  /**
   * @returns the writer with the whole of it
   * @throws {DeployError} P2P_ARTIFACT_UNAVAILABLE, and as `ArtifactStore.write` and `ArtifactWriter.append`; what is here then
   *   stays for a later download
   */
  async run(): Promise<ArtifactWriter> {
    let writer = await this.#write()
    if (writer.offset > 0) this.#givers.add(undefined)
    const startedMs = this.#needs.clock.nowMs()
    const offset = writer.offset
    try {
      while (!writer.isWhole) {
        if (writer.offset === writer.sizeBytes) {
          this.#blame()
          writer = await this.#startOver(writer)
        }
        const source = this.#task.line.next()
        if (this.#isFromOne && writer.offset > 0 && !this.#givers.has(source.nodeId))
          writer = await this.#startOver(writer)
        this.#givers.add(source.nodeId)
        await this.#take(source, writer)
      }
      this.#needs.log.info('An artifact was fetched', {
        digest: this.#task.statement.digest,
        bytes: writer.sizeBytes,
        from: [...this.#givers].map((giver) => giver ?? `an earlier fetch (${offset} bytes)`),
        ms: Math.round(this.#needs.clock.nowMs() - startedMs),
      })
      return writer
    } catch (error) {
      await writer.close()
      throw error
    }
  }

  #write(): Promise<ArtifactWriter> {
    const { statement, signal } = this.#task
    return this.#needs.store.write(statement.digest, statement.sizeBytes, signal)
  }

  async #startOver(writer: ArtifactWriter): Promise<ArtifactWriter> {
    await writer.discard()
    this.#givers.clear()
    return this.#write()
  }

  #blame(): void {
    const [giver] = this.#givers
    const isKnown = this.#givers.size === 1 && giver !== undefined
    if (isKnown) this.#leave(giver, 'it gave other bytes than the artifact has', true)
    this.#isFromOne = true
  }

  async #take(source: ArtifactSource, writer: ArtifactWriter): Promise<void> {
    const { clock } = this.#needs
    const { stallMs, signal, onProgress } = this.#task
    const { digest, sizeBytes, offset } = writer
    const { nodeId } = source
    const chunks = readSource(source, { clock, stallMs, digest, sizeBytes, offset, signal })
    try {
      for await (const chunk of chunks) {
        await writer.append(chunk)
        onProgress({ digest, bytes: writer.offset, sizeBytes, nodeId })
      }
    } catch (error) {
      if (!(error instanceof SourceFailure)) throw error
      this.#leave(nodeId, error.message, error.isFinal)
    }
  }

  #leave(nodeId: NodeId, reason: string, isFinal: boolean): void {
    this.#task.line.failed(nodeId, reason, isFinal)
    this.#needs.log.debug('A source of an artifact failed', {
      node: nodeId,
      digest: this.#task.statement.digest,
      reason,
    })
  }
}
