import { useVirtualizer } from '@tanstack/react-virtual'
import { memo, useEffect, useLayoutEffect, useRef } from 'react'
import type { LogLine } from '../api/types.ts'
import { keyOf } from '../live/log-buffer.ts'
import { timeOfDay } from './format.ts'
import { visible } from './visible-text.ts'

const ROW_PX = 20
/** A row shows its first characters; the whole line is shown when it is chosen. */
const ROW_CHARACTERS_MAX = 600
/** So near to the first line, earlier ones are asked for. */
const EARLIER_WITHIN_PX = 40 * ROW_PX

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
  /** Shown in the middle, and marked. */
  at?: LogLine | undefined
  selected?: LogLine | undefined
  onSelect?: (line: LogLine) => void
  /** Called when the reader comes near the first line. */
  onEarlier?: (() => void) | undefined
  className: string
}) {
  const box = useRef<HTMLDivElement>(null)
  const first = useRef<LogLine>(undefined)
  const following = useRef(false)
  const { lines, version, isFollowing, onFollow, at, selected, onSelect, onEarlier } = props
  following.current = isFollowing
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
    // Rendered with everything else, not in the middle of the scrolling.
    useFlushSync: false,
  })

  useLayoutEffect(() => {
    const element = box.current
    if (!element) return
    const before = first.current
    first.current = lines[0]
    // Beyond the end, to the end: asking how long it is would lay everything out twice.
    if (isFollowing) element.scrollTop = (lines.length + 1) * ROW_PX
    // Earlier lines came on top: what the reader looks at stays where it is.
    else if (before && before !== lines[0]) element.scrollTop += Math.max(0, lines.indexOf(before)) * ROW_PX
  }, [isFollowing, lines, version])

  useLayoutEffect(() => {
    const index = at ? lines.indexOf(at) : -1
    if (index >= 0 && box.current) box.current.scrollTop = index * ROW_PX - box.current.clientHeight / 2
  }, [at, lines])

  useEffect(() => {
    const element = box.current
    if (!element) return
    // A wheel or a key up is the reader's wish; what the page scrolls itself is not.
    const onScroll = (): void => {
      // At the end already; asking where would lay out what has just been changed.
      if (following.current) return
      const fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight
      if (fromEnd < ROW_PX) onFollow(true)
      if (element.scrollTop < EARLIER_WITHIN_PX) onEarlier?.()
    }
    const onWheel = (event: WheelEvent): void => {
      if (event.deltaY < 0 && element.scrollTop > 0) onFollow(false)
    }
    const onTouch = (): void => onFollow(false)
    element.addEventListener('scroll', onScroll, { passive: true })
    element.addEventListener('wheel', onWheel, { passive: true })
    element.addEventListener('touchmove', onTouch, { passive: true })
    return () => {
      element.removeEventListener('scroll', onScroll)
      element.removeEventListener('wheel', onWheel)
      element.removeEventListener('touchmove', onTouch)
    }
  }, [onFollow, onEarlier])

  const onKeyDown = (event: React.KeyboardEvent): void => {
    const { key } = event
    if (['ArrowUp', 'PageUp', 'Home'].includes(key)) onFollow(false)
    if (!selected || !onSelect || (key !== 'ArrowUp' && key !== 'ArrowDown')) return
    // With a line chosen, the arrows choose its neighbours.
    event.preventDefault()
    const index = lines.indexOf(selected) + (key === 'ArrowUp' ? -1 : 1)
    const next = lines[index]
    if (!next) return
    onSelect(next)
    rows.scrollToIndex(index)
  }
  const choose = (event: React.KeyboardEvent): void => {
    if (event.key !== 'Enter' || !onSelect || !box.current) return
    // Without a pointer: the line at the lower edge, from which the arrows go on.
    const index = Math.floor((box.current.scrollTop + box.current.clientHeight) / ROW_PX) - 1
    const line = selected ?? lines[Math.min(index, lines.length - 1)]
    if (line) onSelect(line)
  }

  return (
    <div className={`log-frame ${props.className}`}>
      <div
        ref={box}
        className="log"
        tabIndex={0}
        role="region"
        aria-label="Log lines"
        onKeyDown={(event) => {
          onKeyDown(event)
          choose(event)
        }}
      >
        <div className="log-rows" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const line = lines[index]
            return (
              line && (
                <LogRow
                  key={keyOf(line)}
                  line={line}
                  top={start}
                  isSelected={line === selected}
                  isAt={line === at}
                  onSelect={onSelect}
                />
              )
            )
          })}
        </div>
      </div>
      {!isFollowing && !at && (
        <button type="button" className="log-newest" onClick={() => onFollow(true)}>
          ↓ Newest
        </button>
      )}
    </div>
  )
}

const LogRow = memo(function LogRow(props: {
  line: LogLine
  top: number
  isSelected: boolean
  isAt: boolean
  onSelect: ((line: LogLine) => void) | undefined
}) {
  const { line, onSelect } = props
  const time = timeOfDay(line.timestamp)
  const message = line.message.slice(0, ROW_CHARACTERS_MAX)
  return (
    <div
      className={`log-row level-${line.level}`}
      style={{ transform: `translateY(${props.top}px)` }}
      data-selected={props.isSelected}
      data-at={props.isAt}
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
      <span>
        {visible(message)}
        <span className="log-fields">{visible(fieldsText(line, ROW_CHARACTERS_MAX - message.length))}</span>
      </span>
    </div>
  )
})

/** The fields on one line: `node_id=worker-1 took_ms=4`. */
function fieldsText({ fields }: LogLine, charactersMax: number): string {
  let text = ''
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (text.length >= charactersMax) break
    text += ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`
  }
  return text.slice(0, Math.max(0, charactersMax))
}
