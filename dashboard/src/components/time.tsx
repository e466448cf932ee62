import { useSyncExternalStore } from 'react'
import { dateTime, duration, momentMs } from './format.ts'

/** One clock for all that tell how long ago something was. */
const EVERY_MS = 5_000
let now = Date.now()
const listeners = new Set<() => void>()
setInterval(() => {
  now = Date.now()
  for (const listener of listeners) listener()
}, EVERY_MS)

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Now, renewed every few seconds. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now)
}

/** How long ago, or how long until; the moment itself where the pointer rests. */
export function Ago({ at }: { at: string | number }) {
  const ms = momentMs(at)
  const passed = useNow() - ms
  // Beyond what a Date holds lies what a record without an end says.
  if (Number.isNaN(new Date(ms).getTime())) return '–'
  const text = Math.abs(passed) < EVERY_MS ? 'now' : passed > 0 ? `${duration(passed)} ago` : `in ${duration(-passed)}`
  return (
    <time dateTime={new Date(ms).toISOString()} title={dateTime(ms)}>
      {text}
    </time>
  )
}
