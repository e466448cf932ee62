import { RpcError } from '../../base/errors.ts'

/** NIST SP 800-63B-4 section 3.1.1.2: length counts, kinds of characters do not. */
const PASSWORD_LENGTH_MIN = 12
/** In characters; longer ones only cost time. */
const PASSWORD_LENGTH_MAX = 256

/** A password of fewer different characters is a pattern on the keyboard. */
const DIFFERENT_MIN = 5

/** @throws {RpcError} P2P_AUTH_PASSWORD_WEAK, with the reason and never the password */
export function checkNewPassword(password: string, name: string): void {
  const weak = (why: string): RpcError => new RpcError('P2P_AUTH_PASSWORD_WEAK', `The password ${why}; choose another`)
  const characters = Array.from(password)
  if (characters.length < PASSWORD_LENGTH_MIN) throw weak(`is shorter than ${PASSWORD_LENGTH_MIN} characters`)
  if (characters.length > PASSWORD_LENGTH_MAX) throw weak(`is longer than ${PASSWORD_LENGTH_MAX} characters`)
  if (new Set(characters).size < DIFFERENT_MIN) throw weak(`has fewer than ${DIFFERENT_MIN} different characters`)
  if (name.length >= 4 && password.toLowerCase().includes(name)) throw weak('has the name in it')
}
