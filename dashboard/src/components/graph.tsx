import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useRef, useState } from 'react'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { dateTime } from './format.ts'

/** A line of a graph: values beside the graph's times, null where nothing was measured. */
export interface Series {
  name: string
  values: (number | null)[]
}

const DAY_S = 86_400

/** Days, clock time or seconds, as the distance of the ticks asks for. */
function tickText(tick: number, ticks: number[]): string {
  const text = dateTime(tick)
  const [first = 0, second = 0] = ticks
  if ((ticks.at(-1) ?? 0) - first > DAY_S) return text.slice(5, 10)
  return second - first < 60 ? text.slice(11) : text.slice(11, 16)
}

/** A graph over time with its value under the pointer, else its latest. */
export function Graph(props: {
  title: string
  /** Unix seconds, rising. */
  times: number[]
  series: Series[]
  format: (value: number | null) => string
  /** Top of the scale; without it, what the values need. */
  max?: number
}) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot>(undefined)
  const [at, setAt] = useState<number | null>(null)
  const scheme = useComputedColorScheme('light')
  const { title, max, format, series } = props
  const names = series.map(({ name }) => name).join('|')

  useEffect(() => {
    const element = box.current
    if (!element) return
    const style = getComputedStyle(document.documentElement)
    const color = (name: string): string => style.getPropertyValue(name).trim()
    const axis = {
      stroke: color('--muted'),
      font: `11px ${color('--sans')}`,
      grid: { stroke: color('--line'), width: 1 },
      ticks: { show: false },
    }
    const strokes = [color('--accent'), color('--muted')]
    const made = new UPlot(
      {
        width: element.clientWidth,
        height: element.clientHeight,
        legend: { show: false },
        cursor: { y: false, sync: { key: 'node' }, points: { size: 6 }, drag: { x: false, y: false } },
        scales: { y: { range: (_plot, _low, high) => [0, max ?? Math.max(high ?? 0, 1) * 1.1] } },
        axes: [
          { ...axis, size: 24, space: 80, values: (_plot, ticks) => ticks.map((tick) => tickText(tick, ticks)) },
          { ...axis, size: 58, values: (_plot, ticks) => ticks.map((tick) => format(tick)) },
        ],
        series: [
          {},
          ...names.split('|').map((label, index) => ({
            label,
            stroke: strokes[index % strokes.length] as string,
            width: 1.25,
            points: { show: false },
            ...(index === 0 && { fill: `${color('--accent')}18` }),
          })),
        ],
        hooks: { setCursor: [({ cursor }) => setAt(cursor.idx ?? null)] },
      },
      [[], ...names.split('|').map(() => [])],
      element,
    )
    plot.current = made
    const resized = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: element.clientHeight })
    })
    resized.observe(element)
    return () => {
      resized.disconnect()
      made.destroy()
      plot.current = undefined
    }
  }, [scheme, names, max, format])

  useEffect(() => {
    plot.current?.setData([props.times, ...props.series.map(({ values }) => values)])
  })

  const shown = at ?? props.times.length - 1
  return (
    <div className="panel graph">
      <div className="graph-head">
        <h3 className="muted small">{title}</h3>
        <span className="small">
          {series
            .map(({ name, values }) => `${series.length > 1 ? `${name} ` : ''}${format(values[shown] ?? null)}`)
            .join('  ')}
        </span>
      </div>
      <div className="graph-canvas" ref={box} role="img" aria-label={`${title} over time`} />
    </div>
  )
}
