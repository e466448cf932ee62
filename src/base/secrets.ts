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
   * @param value at most 64 KiB bytes of UTF-8
   * @throws {DeployError} P2P_DEPLOY_INVALID
   */
  set(name: string, value: string, by: string): Promise<SecretFacts>
  /** @throws {DeployError} P2P_DEPLOY_SECRET_UNKNOWN; P2P_DEPLOY_REFUSED while a deployment names it */
  delete(name: string, by: string): Promise<void>
}
