import { type Logger, ServiceError } from 'p2p-core/service'
import {
  assertUsable,
  CHECKS_MAX,
  type CheckStatus,
  type NewCheck,
  type Result,
  RESULTS_MAX,
  type State,
} from './check.ts'
import type { Finding } from './probe.ts'

/** What a watcher uses of the world; a test gives its own. */
export interface WatcherNeeds {
  log: Logger
  /** Unix milliseconds. */
  nowMs(): number
  /** Calls `fn` once after `delayMs`. @returns cancels it */
  after(delayMs: number, fn: () => void): () => void
  probe(check: NewCheck, signal: AbortSignal): Promise<Finding>
  /** @throws when the folder cannot be watched */
  watchFolder(path: string, onChange: (names: string[]) => void, onEnd: () => void): () => void
}

/** Everything about one check. */
interface Watched {
  check: NewCheck
  state: State
  sinceMs: number
  /** Oldest first. */
  results: Result[]
  certificateExpiresMs: number | undefined
  removed: AbortController
  cancelNext: () => void
  /** The folder that is being watched, and what ends that. */
  folder: { id: string | undefined; end: () => void } | undefined
}

/** Runs checks in their rhythm, one run of a check at a time, and remembers how they went. Keeps all in memory. */
export class Watcher {
  readonly #needs: WatcherNeeds
  readonly #checks = new Map<string, Watched>()

  constructor(needs: WatcherNeeds) {
    this.#needs = needs
  }

  /** Adds a check and runs it at once. @throws {ServiceError} TARGET_INVALID, CHECK_EXISTS, TOO_MANY_CHECKS */
  add(check: NewCheck): CheckStatus {
    assertUsable(check)
    if (this.#checks.has(check.name)) {
      throw new ServiceError('CHECK_EXISTS', `There is a check named ${check.name} already; remove it first`)
    }
    if (this.#checks.size >= CHECKS_MAX) {
      throw new ServiceError('TOO_MANY_CHECKS', `A node runs at most ${CHECKS_MAX} checks`)
    }
    const watched: Watched = {
      check,
      state: 'pending',
      sinceMs: this.#needs.nowMs(),
      results: [],
      certificateExpiresMs: undefined,
      removed: new AbortController(),
      cancelNext: () => {},
      folder: undefined,
    }
    this.#checks.set(check.name, watched)
    this.#needs.log.info('Check added', { check: check.name, kind: check.kind, target: check.target })
    watched.cancelNext = this.#needs.after(0, () => void this.#run(watched))
    return statusOf(watched)
  }

  /** @throws {ServiceError} CHECK_UNKNOWN */
  remove(name: string): void {
    this.#end(this.#get(name))
    this.#checks.delete(name)
    this.#needs.log.info('Check removed', { check: name })
  }

  /** All checks, by name. */
  list(): CheckStatus[] {
    return [...this.#checks.values()].map(statusOf).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** The last results, newest first. @throws {ServiceError} CHECK_UNKNOWN */
  history(name: string, limit: number): Result[] {
    return this.#get(name).results.slice(-limit).reverse()
  }

  /** Ends every check and every run. */
  close(): void {
    for (const watched of this.#checks.values()) this.#end(watched)
    this.#checks.clear()
  }

  #get(name: string): Watched {
    const watched = this.#checks.get(name)
    if (!watched) throw new ServiceError('CHECK_UNKNOWN', `There is no check named ${name} on this node`)
    return watched
  }

  #end(watched: Watched): void {
    watched.removed.abort()
    watched.cancelNext()
    this.#leaveFolder(watched)
  }

  async #run(watched: Watched): Promise<void> {
    const { check, removed } = watched
    const startedMs = this.#needs.nowMs()
    let finding = await this.#needs.probe(check, removed.signal)
    if (removed.signal.aborted) return
    if (check.kind === 'folder' && finding.isUp) finding = this.#followFolder(watched, finding)
    const durationMs = this.#needs.nowMs() - startedMs
    // That an unchanged folder is still there is not worth remembering.
    const isNews = check.kind !== 'folder' || watched.state !== stateOf(finding)
    if (isNews) this.#remember(watched, finding, durationMs)
    watched.cancelNext = this.#needs.after(Math.max(0, check.interval_ms - durationMs), () => void this.#run(watched))
  }

  /** Follows the changes of the folder that is there now; a watch does not outlive its folder. */
  #followFolder(watched: Watched, finding: Finding): Finding {
    if (watched.folder && watched.folder.id === finding.folderId) return finding
    this.#leaveFolder(watched)
    try {
      const end = this.#needs.watchFolder(
        watched.check.target,
        (names) => void this.#folderChanged(watched, names),
        () => this.#leaveFolder(watched),
      )
      watched.folder = { id: finding.folderId, end }
      return finding
    } catch (error) {
      return { isUp: false, detail: `cannot be watched: ${error instanceof Error ? error.message : String(error)}` }
    }
  }

  async #folderChanged(watched: Watched, names: string[]): Promise<void> {
    // The change may have been that the folder went away.
    const finding = await this.#needs.probe(watched.check, watched.removed.signal)
    if (watched.removed.signal.aborted) return
    this.#remember(watched, finding.isUp ? { ...finding, detail: `changed: ${names.join(', ')}` } : finding, 0)
  }

  #leaveFolder(watched: Watched): void {
    watched.folder?.end()
    watched.folder = undefined
  }

  #remember(watched: Watched, finding: Finding, durationMs: number): void {
    const nowMs = this.#needs.nowMs()
    watched.certificateExpiresMs = finding.certificateExpiresMs ?? watched.certificateExpiresMs
    watched.results.push({
      at: new Date(nowMs).toISOString(),
      is_up: finding.isUp,
      duration_ms: Math.round(durationMs * 10) / 10,
      detail: finding.detail,
    })
    if (watched.results.length > RESULTS_MAX) watched.results.shift()
    const state = stateOf(finding)
    if (state === watched.state) return
    const before = watched.state
    watched.state = state
    watched.sinceMs = nowMs
    const { name, kind, target } = watched.check
    const fields = { check: name, kind, target, before, detail: finding.detail }
    if (finding.isUp) this.#needs.log.info('Check is up', fields)
    else this.#needs.log.warning('Check is down', fields)
  }
}

function stateOf(finding: Finding): State {
  return finding.isUp ? 'up' : 'down'
}

function statusOf({ check, state, sinceMs, results, certificateExpiresMs }: Watched): CheckStatus {
  const last = results.at(-1)
  return {
    ...check,
    state,
    since: new Date(sinceMs).toISOString(),
    ...(last && { last_result: last, up_ratio: results.filter((result) => result.is_up).length / results.length }),
    ...(certificateExpiresMs !== undefined && { certificate_expires: new Date(certificateExpiresMs).toISOString() }),
  }
}
