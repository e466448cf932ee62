const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  y: 31_536_000_000,
}

/**
 * Milliseconds of a duration written for people: a whole number and a unit, `90s`, `10m`, `24h`, `30d` or `1y` (365 days).
 * @returns undefined when `text` is not of that form
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})\s?([smhdy])$/.exec(text.trim())
  return match ? Number(match[1]) * (UNIT_MS[match[2] as string] as number) : undefined
}
