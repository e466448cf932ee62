const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const
const STEPS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const

/** A bar, `width` characters long at 100 percent, in eighths of a character. */
export function bar(percent: number, width: number): string {
  const eighths = Math.round((Math.min(100, Math.max(0, percent)) / 100) * width * 8)
  return '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] as string)
}

/**
 * A line of characters as high as the values, from 0 to `top`; a blank where there is no value.
 * @param top value of the highest character; by default the greatest value
 */
export function sparkline(
  values: readonly (number | undefined)[],
  top = Math.max(0, ...values.map((value) => value ?? 0)),
): string {
  return values
    .map((value) => {
      if (value === undefined) return ' '
      const step = top > 0 ? Math.floor((Math.max(0, value) / top) * STEPS.length) : 0
      return STEPS[Math.min(STEPS.length - 1, step)] as string
    })
    .join('')
}

/**
 * Values at moments, put into `width` equal spans up to `endMs`: the mean of each span, undefined where it has none. A
 * moment outside of the spans is left out.
 */
export function spans(
  points: readonly { timeMs: number; value: number }[],
  { endMs, lengthMs, width }: { endMs: number; lengthMs: number; width: number },
): (number | undefined)[] {
  const sums = Array.from({ length: width }, () => ({ sum: 0, count: 0 }))
  for (const { timeMs, value } of points) {
    // The last moment belongs to the last span.
    const index = Math.min(width - 1, Math.floor(((timeMs - (endMs - lengthMs)) / lengthMs) * width))
    const span = timeMs > endMs ? undefined : sums[index]
    if (span) {
      span.sum += value
      span.count++
    }
  }
  return sums.map(({ sum, count }) => (count === 0 ? undefined : sum / count))
}
