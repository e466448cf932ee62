import type { RecordAct } from '../../../../src/service/auth/record-act.ts'

/** For those who sign in where no trail is kept. */
export const UNRECORDED: { record: RecordAct } = { record: async () => {} }
