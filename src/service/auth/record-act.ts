import type { PersonRole } from './access-token.ts'

/**
 * Records what is about to be done in the name of this person, who has just proved to be it; resolves when that is on stable
 * storage. Whoever gives out a session, a token or a link asks for this before: nobody is signed in of whom the trail does not know.
 * @throws {StorageError} then it must not be done
 */
export type RecordAct = (person: { name: string; role: PersonRole }) => Promise<void>
