import { messageOf, P2PError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { createLiveText } from '../output/live-text.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { plain, styler } from '../output/style.ts'
import { type ConnectionFlags, connect, type Session } from '../session/connect.ts'
import type { SortKey } from '../top/sort-keys.ts'
import { type ClusterMetrics, topData } from '../top/top-data.ts'
import { topText } from '../top/top-text.ts'

interface TopFlags extends ConnectionFlags {
  sort: SortKey
  /** Seconds. */
  interval: number
  once?: true
  output: OutputFormat
}

const KEYS: Readonly<Record<string, SortKey>> = {
  c: 'cpu',
  m: 'memory',
  d: 'disk',
  l: 'load',
  t: 'network',
  r: 'calls',
  e: 'errors',
  n: 'name',
}
const HELP = 'Keys: [c]pu [m]emory [d]isk [l]oad [t]raffic [r] calls [e]rrors [n]ame [q]uit'
const [CURSOR_OFF, CURSOR_ON] = ['\u001B[?25l', '\u001B[?25h']
const CTRL_C = '\u0003'

/** `p2p top`: on a terminal until it is ended, else once. */
export async function top(host: CliHost, flags: TopFlags): Promise<void> {
  const isLive = flags.output === 'table' && !flags.once && host.output.isTTY && host.environment.TERM !== 'dumb'
  const session = await connect(host, flags)
  if (isLive) {
    await watch(host, flags, session)
    return
  }
  const data = topData(await read(session), flags.sort)
  await show(host, flags.output, data, () => topText(host, data, flags.sort))
}

function read(session: Session): Promise<ClusterMetrics> {
  return session.call<ClusterMetrics>({ method: 'GET', path: '/api/dashboard/metrics' })
}

async function watch(host: CliHost, flags: TopFlags, session: Session): Promise<void> {
  const live = createLiveText(host.output)
  const style = styler(host.output, host.environment)
  const ended = new AbortController()
  const interruption = host.interruption()
  const signal = AbortSignal.any([interruption.signal, ended.signal])
  let { sort } = flags
  let latest = await read(session)
  let note = ''
  const draw = (): void => {
    const last = note === '' ? style('dim', HELP) : style('yellow', `${plain(note)}; trying again`)
    live.draw(`${topText(host, topData(latest, sort), sort)}\n${last}\n`)
  }
  const release = onKeys(host, (key) => {
    if (key === 'q' || key === CTRL_C) ended.abort()
    sort = KEYS[key] ?? sort
    if (!signal.aborted) draw()
  })
  host.output.write(CURSOR_OFF)
  try {
    while (!signal.aborted) {
      draw()
      await host.pause(flags.interval * 1_000, signal).catch(() => {})
      if (signal.aborted) break
      try {
        latest = await read(session)
        note = ''
      } catch (error) {
        if (!(error instanceof P2PError) || !error.facts.retryable) throw error
        note = messageOf(error)
      }
    }
  } finally {
    host.output.write(CURSOR_ON)
    release()
    interruption.dispose()
  }
}

/** Tells of each key that is typed; without a keyboard of none. @returns a function that gives the keyboard back */
function onKeys({ input }: CliHost, onKey: (key: string) => void): () => void {
  if (!input.isTTY || !input.setRawMode) return () => {}
  const onData = (chunk: string | Buffer): void => {
    for (const key of chunk.toString()) onKey(key.toLowerCase())
  }
  input.setRawMode(true)
  input.on('data', onData)
  input.resume()
  return () => {
    input.off('data', onData)
    input.setRawMode?.(false)
    input.pause()
  }
}
