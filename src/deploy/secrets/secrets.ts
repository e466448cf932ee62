/** Enough for a certificate chain with its key. */
export const SECRET_BYTES_MAX = 64 * 1_024
/** Secrets of one cluster. */
export const SECRETS_MAX = 1_024

/** 1 to 128 letters, digits, `_`, `-`, `.` and `/`, beginning with a letter or digit: `shop/db-password`. */
const SECRET_NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/

export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name)
}
