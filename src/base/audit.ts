/** Something privileged that somebody is about to do. */
export interface AuditAct {
  /** What: a route such as `POST /api/tokens`, or a method such as `rpc inventory/clear`. */
  act: string
  /** Who, as `principalLabel` writes it: `person:ada`, `node:worker-1`, `anonymous`. */
  who: string
  /** In which role. */
  role?: string | undefined
  /** From where: an address, or the node that passed the call on. */
  from?: string | undefined
  /** On what: names out of the path or the parameters; never a value that could be a secret. */
  target?: string | undefined
  traceId?: string | undefined
}

/** How it ended. `refused`: by the access rules, nothing was done. */
export type AuditOutcome = 'succeeded' | 'failed' | 'refused'

/** One record of the trail. */
export interface AuditRecord extends AuditAct {
  /** 1, 2, 3 … of this node, without gaps. */
  seq: number
  /** ISO 8601, UTC. */
  time: string
  /** `intent` is written before the act, `outcome` after it; `notice` is the trail's own word about itself. */
  phase: 'intent' | 'outcome' | 'notice'
  outcome?: AuditOutcome | undefined
  /** The sequence number of the intent that this is the outcome of. */
  intent?: number | undefined
  /** Status or error code, or the text of a notice. */
  detail?: string | undefined
  /** In the first record of each file: the code of the last record of the file before. */
  previous?: string | undefined
}

/** The record of who did what: written before it is done. */
export interface AuditTrail {
  /**
   * Records what is about to be done; resolves when it is on stable storage.
   * @returns how it ended is told here; that record follows without anybody waiting for it
   * @throws {StorageError} P2P_STORAGE_FULL, P2P_STORAGE_FAILED, P2P_STORAGE_CLOSED: then it must not be done
   */
  begin(act: AuditAct): Promise<(outcome: AuditOutcome, detail?: string) => void>
  /**
   * Records what was not done. Never fails and never waits; floods of one origin are counted instead of written one by one.
   * @param outcome `failed`: anybody might have tried it, as signing in
   */
  refused(act: AuditAct, detail: string, outcome?: 'refused' | 'failed'): void
}

export interface AuditQuery {
  sinceMs?: number | undefined
  untilMs?: number | undefined
  /** Parts of the fields, whatever the case. */
  who?: string | undefined
  act?: string | undefined
  /** Only records before this sequence number. */
  before?: number | undefined
  /** 1 to 1,000. */
  limit: number
}

/** What verification found. */
export interface AuditVerdict {
  records: number
  firstSeq: number | undefined
  lastSeq: number | undefined
  /** Empty: every record is there, in order, as it was written. */
  problems: { file: string; line: number; problem: string }[]
}

/** The reading side of the trail. */
export interface AuditReader {
  /** Newest first. */
  query(query: AuditQuery): Promise<AuditRecord[]>
  /** Reads every record of this node again. */
  verify(signal?: AbortSignal): Promise<AuditVerdict>
}

/** Tells of records as they are written. */
export interface AuditFeed {
  /** Called with each record once it is on stable storage. @returns a function that unregisters */
  onRecord(listener: (record: AuditRecord) => void): () => void
}
