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

/** A line has no length where nothing was measured before and after: such moments are dots. */
function lonePoints({ data }: UPlot, seriesIndex: number): number[] {
  const values = data[seriesIndex] ?? []
  return [...values.keys()].filter(
    (at) => values[at] !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null,
  )
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
  /** Distances of the marks on the scale: one of these. */
  steps?: readonly number[]
  /** Called with the moment that the reader points at and chooses, Unix seconds. */
  onChoose?: (time: number) => void
}) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot>(undefined)
  const [at, setAt] = useState<number | null>(null)
  const scheme = useComputedColorScheme('light')
  const { title, max, format, series, steps, times } = props
  const choose = useRef(props.onChoose)
  choose.current = props.onChoose
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
          {
            ...axis,
            size: 58,
            values: (_plot, ticks) => ticks.map((tick) => format(tick)),
            ...(steps && { incrs: [...steps] }),
          },
        ],
        series: [
          {},
          ...names.split('|').map((label, index) => ({
            label,
            stroke: strokes[index % strokes.length] as string,
            width: 1.25,
            points: {
              show: true,
              size: 4,
              width: 0,
              fill: strokes[index % strokes.length] as string,
              filter: lonePoints,
            },
            ...(index === 0 && { fill: `${color('--accent')}18` }),
          })),
        ],
        hooks: { setCursor: [({ cursor }) => setAt(cursor.idx ?? null)] },
      },
      [[], ...names.split('|').map(() => [])],
      element,
    )
    plot.current = made
    made.over.addEventListener('click', () => {
      const time = made.data[0][made.cursor.idx ?? -1]
      if (time !== undefined) choose.current?.(time)
    })
    const resized = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: element.clientHeight })
    })
    resized.observe(element)
    return () => {
      resized.disconnect()
      made.destroy()
      plot.current = undefined
    }
  }, [scheme, names, max, format, steps])

  useEffect(() => {
    // A page that nobody sees draws nothing; it is drawn when it is looked at again.
    if (!document.hidden) plot.current?.setData([props.times, ...props.series.map(({ values }) => values)])
  })

  const last = times.length - 1
  /** The pointer of those without one: left and right read the values, Enter goes to the log of that moment. */
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -last, End: last }[event.key]
    const time = times[at ?? last]
    if (event.key === 'Enter' && time !== undefined) choose.current?.(time)
    const made = plot.current
    if (step === undefined || !made) return
    event.preventDefault()
    const index = Math.min(last, Math.max(0, (at ?? last) + step))
    made.setCursor({ left: made.valToPos(times[index] ?? 0, 'x'), top: 10 })
  }

  const shown = Math.min(at ?? last, last)
  const text = series
    .map(({ name, values }) => `${series.length > 1 ? `${name} ` : ''}${format(values[shown] ?? null)}`)
    .join(' · ')
  const time = times[shown]
  return (
    <div className="panel graph">
      <div className="graph-head">
        <h3 className="muted small">{title}</h3>
        <span className="small">
          {at !== null && time !== undefined && <span className="muted">{dateTime(time).slice(5)} </span>}
          {text}
        </span>
      </div>
      <div
        className="graph-canvas"
        ref={box}
        role="slider"
        tabIndex={0}
        aria-label={`${title} over time`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, last)}
        aria-valuenow={Math.max(0, shown)}
        aria-valuetext={time === undefined ? 'nothing measured' : `${dateTime(time)}: ${text}`}
        data-can-choose={props.onChoose !== undefined}
        onKeyDown={onKeyDown}
        onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      />
    </div>
  )
}
