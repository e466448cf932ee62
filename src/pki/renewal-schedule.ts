const DAY_MS = 86_400_000
/** The Python program's rule for long lives: a month to notice and mend what stands in the way. */
const LONG_LIFE_MS = 90 * DAY_MS
const LONG_MARGIN_MS = 30 * DAY_MS

/**
 * When a certificate should be renewed, wall time in milliseconds: 30 days before its end, or at two
 * thirds of a life of less than 90 days; up to a tenth of that margin earlier, so that nodes that
 * joined together do not renew together.
 * @param chance in [0, 1)
 */
export function renewalTimeMs(validity: { notBeforeMs: number; notAfterMs: number }, chance: number): number {
  const lifeMs = validity.notAfterMs - validity.notBeforeMs
  const marginMs = lifeMs >= LONG_LIFE_MS ? LONG_MARGIN_MS : lifeMs / 3
  return validity.notAfterMs - marginMs * (1 + chance / 10)
}
