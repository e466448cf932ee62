/** How far back a graph of a node goes, as its name and in milliseconds. */
export const RANGES_MS = {
  '15m': 900_000,
  '1h': 3_600_000,
  '6h': 21_600_000,
  '1d': 86_400_000,
  '7d': 604_800_000,
  '30d': 2_592_000_000,
} as const
export type Range = keyof typeof RANGES_MS

export const RANGES = Object.keys(RANGES_MS)
