import type { AuditAct, AuditReader, AuditRecord, AuditTrail, AuditVerdict } from '../../../../src/base/audit.ts'

/** A trail in memory. */
export class StubAudit implements AuditTrail, AuditReader {
  /** `intent POST /api/tokens person:ada`, in order. */
  readonly written: string[] = []
  readonly acts: AuditAct[] = []
  failure: Error | undefined

  async begin(act: AuditAct) {
    await Promise.resolve()
    if (this.failure) throw this.failure
    this.acts.push(act)
    this.written.push(`intent ${act.act} ${act.who}`)
    return (outcome: string, detail?: string): void => void this.written.push(`${outcome} ${act.act} ${detail}`)
  }

  refused(act: AuditAct, detail: string, outcome = 'refused'): void {
    this.acts.push(act)
    this.written.push(`${outcome} ${act.act} ${act.who} ${detail}`)
  }

  async query(): Promise<AuditRecord[]> {
    return [{ seq: 1, time: '2026-01-02T03:04:05.000Z', phase: 'intent', act: 'POST /api/tokens', who: 'person:ada' }]
  }

  async verify(): Promise<AuditVerdict> {
    return { records: 1, firstSeq: 1, lastSeq: 1, problems: [] }
  }
}
