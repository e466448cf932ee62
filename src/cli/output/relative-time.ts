const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
]

/** A span for people, rounded, in the largest unit it fills: `45 s`, `3 h`, `29 d`. */
export function spanText(spanMs: number): string {
  const positive = Math.abs(spanMs)
  const [name, ms] = UNITS.find(([, unitMs]) => positive >= unitMs) ?? (UNITS[3] as readonly [string, number])
  return `${Math.round(positive / ms)} ${name}`
}

/** A moment seen from now: `3 min ago`, `in 29 d`, `now`. Both in Unix milliseconds. */
export function relativeTime(momentMs: number, nowMs: number): string {
  const span = momentMs - nowMs
  if (Math.abs(span) < 1_000) return 'now'
  return span > 0 ? `in ${spanText(span)}` : `${spanText(span)} ago`
}
