/**
 * The times and counts SWIM runs with. Names and values follow memberlist's LAN profile (config.go); what differs says
 * why. All times are milliseconds.
 */
export interface SwimProfile {
  /** One member is probed per period (SWIM section 3.1). */
  protocolPeriodMs: number
  /** How long a direct ping may take before others are asked to ping. */
  probeTimeoutMs: number
  /** Members asked to ping in our place: SWIM's k. */
  indirectChecks: number
  /** The shortest suspicion lasts `suspicionMult * log10(n)` periods. */
  suspicionMult: number
  /** The longest suspicion, one nobody confirms, lasts this many times the shortest (Lifeguard section 4.2). */
  suspicionMaxTimeoutMult: number
  /**
   * So many members that got no answer either, each over a path of its own, leave little doubt: the suspicion then lasts
   * `witnessedSuspicionMult * log10(n)` periods.
   */
  witnesses: number
  witnessedSuspicionMult: number
  /** Lifeguard's local health counts up to this. */
  awarenessMax: number
  /** A rumour is passed on `retransmitMult * ceil(log10(n + 1))` times. */
  retransmitMult: number
  gossipIntervalMs: number
  /** Members each waiting rumour goes to per gossip interval. */
  gossipNodes: number
  /**
   * A refused dial is strong evidence: nothing listens where the member was. So many members whose dial was refused
   * make a suspicion short.
   */
  refusalsForVerdict: number
  /** What is left of a suspicion once enough dials were refused: time for the member to dial us, or to come back. */
  refusedSuspicionMs: number
  /** Pause before the dial is tried a second time after a refusal: a listener that is replaced is back by then. */
  redialMs: number
  /** In this interval all members together try each dead member about `rejoinMult` times. */
  rejoinIntervalMs: number
  rejoinMult: number
  /** A left member is tried this many times less often than a dead one: it said that it goes. */
  leftRejoinDivisor: number
}

export const LAN_PROFILE: SwimProfile = {
  protocolPeriodMs: 1_000,
  probeTimeoutMs: 500,
  indirectChecks: 3,
  suspicionMult: 4,
  suspicionMaxTimeoutMult: 6,
  // memberlist stops listening after two. A claim and its refutation reach all of n members within log2(n) gossip intervals
  // of 200 ms, which is 0.7 * log10(n) s: more than three times that is left for a slow process.
  witnesses: 4,
  witnessedSuspicionMult: 2.5,
  awarenessMax: 8,
  retransmitMult: 4,
  gossipIntervalMs: 200,
  gossipNodes: 3,
  refusalsForVerdict: 2,
  refusedSuspicionMs: 700,
  redialMs: 250,
  // memberlist leaves this to serf (30 s). A healed partition must be whole again within 30 s, so it is shorter here.
  rejoinIntervalMs: 10_000,
  // The chance that nobody tries a certain member within 30 s is then e^-9.
  rejoinMult: 3,
  leftRejoinDivisor: 6,
}
