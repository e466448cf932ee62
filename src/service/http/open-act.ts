import type { AuditAct, AuditOutcome, AuditTrail } from '../../base/audit.ts'
import { principalLabel } from '../../base/identity.ts'
import type { RecordAct } from '../auth/record-act.ts'

/**
 * An act that anybody may try, as signing in. It is recorded once it is known whose act it is, and before it is done; what fails
 * before that has changed nothing, and is recorded afterwards, counted when it comes in floods.
 */
export class OpenAct {
  readonly #audit: AuditTrail
  readonly #attempt: AuditAct
  #end: ((outcome: AuditOutcome, detail: string) => void) | undefined

  /** @param attempt as what is recorded when it fails */
  constructor(audit: AuditTrail, attempt: AuditAct) {
    this.#audit = audit
    this.#attempt = attempt
  }

  readonly record: RecordAct = async ({ name, role }) => {
    const who = principalLabel({ kind: 'person', name, role })
    this.#end = await this.#audit.begin({ ...this.#attempt, who, role })
  }

  /** @param detail status, and whom it was about */
  end(isDone: boolean, detail: string): void {
    if (this.#end) this.#end(isDone ? 'succeeded' : 'failed', detail)
    else if (!isDone) this.#audit.refused(this.#attempt, detail, 'failed')
  }
}
