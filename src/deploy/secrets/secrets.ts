/** What is told of a secret. Its value is told to nobody but the services that name it. */
export interface SecretFacts {
  name: string
  /** Rises with every value it is given. */
  version: number
  /** Unix milliseconds. */
  updatedAtMs: number
  /** Who gave it its value. */
  by: string
  /** Services whose deployment names it. */
  usedBy: string[]
}

/** Secrets for services; on coordinators. Values go in and never come out to people. */
export interface Secrets {
  /** By name. */
  list(): SecretFacts[]
  /**
   * Gives a secret its value. Services that use it get it by a rollout of their own: restarted one after the other, or told in
   * place when their manifest says so.
   * @param value at most {@link SECRET_BYTES_MAX} bytes of UTF-8
   * @throws {DeployError} P2P_DEPLOY_INVALID
   */
  set(name: string, value: string, by: string): Promise<SecretFacts>
  /** @throws {DeployError} P2P_DEPLOY_SECRET_UNKNOWN; P2P_DEPLOY_REFUSED while a deployment names it */
  delete(name: string, by: string): Promise<void>
}

/** Enough for a certificate chain with its key. */
export const SECRET_BYTES_MAX = 64 * 1_024
/** Secrets of one cluster. */
export const SECRETS_MAX = 1_024

/** 1 to 128 letters, digits, `_`, `-`, `.` and `/`, beginning with a letter or digit: `shop/db-password`. */
const SECRET_NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/

export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name)
}
