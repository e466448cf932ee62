/** Percentages over time as a small line, oldest left; gaps where nothing was measured. */
export function Sparkline({ values, label }: { values: (number | null)[]; label: string }) {
  const step = values.length > 1 ? 100 / (values.length - 1) : 0
  const points = values.flatMap((value, index) => (value === null ? [] : [[index * step, 29 - value * 0.28] as const]))
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')
  return (
    <svg className="spark" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={label}>
      <line className="base" x1="0" y1="29.5" x2="100" y2="29.5" vectorEffect="non-scaling-stroke" />
      {points.length > 1 && (
        <>
          <polygon className="area" points={`${points[0]?.[0]},30 ${line} ${points.at(-1)?.[0]},30`} />
          <polyline className="line" points={line} vectorEffect="non-scaling-stroke" />
        </>
      )}
    </svg>
  )
}

/** A rate over the last minutes as a line of a word's size; nothing before there are some values. */
export function RateLine({ rates }: { rates: readonly number[] }) {
  const most = Math.max(...rates)
  if (rates.length < 3 || most <= 0) return null
  const points = rates.map(
    (rate, index) => `${((index * 48) / (rates.length - 1)).toFixed(1)},${(15 - (rate / most) * 14).toFixed(1)}`,
  )
  return (
    <svg className="rate-line" width="48" height="16" viewBox="0 0 48 16" aria-hidden>
      <polyline points={points.join(' ')} />
    </svg>
  )
}
