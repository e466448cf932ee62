/** What one check of `p2p doctor` found. */
export interface Finding {
  check: string
  /** `warning`: works, but somebody should know. `skipped`: could not be looked at, for the reason in `detail`. */
  result: 'ok' | 'warning' | 'problem' | 'skipped'
  detail: string
  /** What to do; with every warning and problem. */
  remedy?: string
}

export function ok(check: string, detail: string): Finding {
  return { check, result: 'ok', detail }
}

export function warning(check: string, detail: string, remedy: string): Finding {
  return { check, result: 'warning', detail, remedy }
}

export function problem(check: string, detail: string, remedy: string): Finding {
  return { check, result: 'problem', detail, remedy }
}

export function skipped(check: string, detail: string): Finding {
  return { check, result: 'skipped', detail }
}
