import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useLayoutEffect, useRef } from 'react'
import type { LogLine } from '../api/types.ts'
import { keyOf } from '../live/log-buffer.ts'
import { timeOfDay } from './format.ts'
import { visible } from './visible-text.ts'

const ROW_PX = 20
/** A row shows its first characters; the whole line is shown when it is chosen. */
const ROW_CHARACTERS_MAX = 600

/** Of even width; what a node makes up has none. */
const SHORT_LEVELS: Partial<Record<string, string>> = {
  DEBUG: 'DEBUG',
  INFO: 'INFO',
  WARNING: 'WARN',
  ERROR: 'ERROR',
  CRITICAL: 'CRIT',
}

/** Lines, oldest on top; only the rows in sight are elements. Follows the newest until the reader scrolls up. */
export function LogView(props: {
  lines: readonly LogLine[]
  /** Of the lines: they may grow in place. */
  version: number
  isFollowing: boolean
  onFollow: (isFollowing: boolean) => void
  selected?: LogLine | undefined
  onSelect?: (line: LogLine) => void
  className: string
}) {
  const box = useRef<HTMLDivElement>(null)
  const { lines, version, isFollowing, onFollow } = props
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
  })

  useLayoutEffect(() => {
    if (isFollowing && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [isFollowing, lines, version])

  useEffect(() => {
    const element = box.current
    if (!element) return
    // A wheel or a key up is the reader's wish; what the page scrolls itself is not.
    const onScroll = (): void => {
      const fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight
      if (fromEnd < ROW_PX) onFollow(true)
    }
    const onWheel = (event: WheelEvent): void => {
      if (event.deltaY < 0 && element.scrollTop > 0) onFollow(false)
    }
    const onKey = (event: KeyboardEvent): void => {
      if (['ArrowUp', 'PageUp', 'Home'].includes(event.key)) onFollow(false)
    }
    const onTouch = (): void => onFollow(false)
    element.addEventListener('scroll', onScroll, { passive: true })
    element.addEventListener('wheel', onWheel, { passive: true })
    element.addEventListener('touchmove', onTouch, { passive: true })
    element.addEventListener('keydown', onKey)
    return () => {
      element.removeEventListener('scroll', onScroll)
      element.removeEventListener('wheel', onWheel)
      element.removeEventListener('touchmove', onTouch)
      element.removeEventListener('keydown', onKey)
    }
  }, [onFollow])

  return (
    <div ref={box} className={`log ${props.className}`} tabIndex={0} role="region" aria-label="Log lines">
      <div className="log-rows" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map(({ index, start }) => {
          const line = lines[index]
          return (
            line && (
              <LogRow
                key={keyOf(line)}
                line={line}
                top={start}
                isSelected={line === props.selected}
                onSelect={props.onSelect}
              />
            )
          )
        })}
      </div>
    </div>
  )
}

function LogRow(props: {
  line: LogLine
  top: number
  isSelected: boolean
  onSelect: ((line: LogLine) => void) | undefined
}) {
  const { line, onSelect } = props
  const time = timeOfDay(line.timestamp)
  return (
    <div
      className={`log-row level-${line.level}`}
      style={{ transform: `translateY(${props.top}px)` }}
      data-selected={props.isSelected}
      {...(onSelect && { onClick: () => onSelect(line) })}
    >
      <span className="muted">
        {time.slice(0, 8)}
        <span className="long">{time.slice(8)}</span>
      </span>
      <span className={`log-level level-${line.level}`}>
        {SHORT_LEVELS[line.level]?.slice(0, 1) ?? '?'}
        <span className="long">{SHORT_LEVELS[line.level]?.slice(1)}</span>
      </span>
      <span className="log-node">{visible(line.node_id)}</span>
      <span className="log-logger muted">{visible(line.logger_name)}</span>
      <span>{visible(line.message.slice(0, ROW_CHARACTERS_MAX))}</span>
    </div>
  )
}
