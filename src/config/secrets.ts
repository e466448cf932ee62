/** What is never in a file. */
export interface Secrets {
  /** P2P_PASSWORD: unlocks the vault instead of the plot. */
  readonly password: string | undefined
  /** P2P_JOIN_TOKEN: lets a new worker in. */
  readonly joinToken: string | undefined
  /** P2P_RECOVERY_KEY: unlocks the vault when plot or password are lost. */
  readonly recoveryKey: string | undefined
  /** P2P_OTLP_HEADERS: what is sent to the OpenTelemetry collector with each request, `Name=value,Name=value`. */
  readonly otlpHeaders: string | undefined
}

export type Environment = Readonly<Record<string, string | undefined>>

/** The secrets in the environment; an empty variable counts as absent. */
export function secretsFrom(environment: Environment): Secrets {
  return Object.freeze({
    password: environment.P2P_PASSWORD || undefined,
    joinToken: environment.P2P_JOIN_TOKEN?.trim() || undefined,
    recoveryKey: environment.P2P_RECOVERY_KEY?.trim() || undefined,
    otlpHeaders: environment.P2P_OTLP_HEADERS?.trim() || undefined,
  })
}
