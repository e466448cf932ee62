import { readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type BrowserContext, type CDPSession, chromium, type Page } from 'playwright-core'
import { BROWSER_FLAGS, chromiumPath } from '../test/e2e/support/browser.ts'
import { callMethod } from '../test/e2e/support/node-api.ts'
import { withCleanup } from './services/cleanup.ts'
import { COORDINATOR, LiveCluster, type ServiceFiles } from './services/live-cluster.ts'

/*
 * The dashboard in Chromium, of the built program: a coordinator and a worker, a process each, over TLS.
 * Load: bytes of the first load, time until the cluster's state is shown, and until nothing holds up a click any more; with an
 * empty cache, a filled one, and over a poor line. Tail: a service writes lines while the log page follows them; long tasks of
 * the page (W3C Long Tasks: over 50 ms), how busy its main thread is, whether each line arrives.
 *   node --conditions=source bench/page.ts [--rounds 5] [--rates 1000] [--seconds 20] [--slowdown 1]
 */

const PAGE_DIRECTORY = resolve(import.meta.dirname, '../dist/dashboard')
/** As Lighthouse's "slow 4G": 1.6 Mbit/s down, 750 kbit/s up, 150 ms there and back. */
const POOR_LINE = { offline: false, latency: 150, downloadThroughput: 204_800, uploadThroughput: 96_000 }
/** What follows the first sight of the state so soon belongs to the load. */
const SETTLE_MS = 500
const LONG_MS = 50
const LAST_LINE_MS_MAX = 20_000
const FAR_TOO_LONG_MS = 100
const WORKER = 'w1'

/** Lines such as services write. */
const CHATTER: ServiceFiles = {
  'manifest.json': { name: 'chatter', version: '1.0.0' },
  'main.js': `
    import { defineService, method, z } from 'p2p-core/service'
    const TICK_MS = 5
    let log
    export default defineService({
      name: 'chatter', version: '1.0.0', description: 'Writes log lines at a rate',
      initialize: (service) => { log = service.logger },
      methods: {
        write: method({
          description: 'Writes lines',
          public: true,
          timeoutMs: 600_000,
          params: z.strictObject({ rate: z.number(), seconds: z.number() }),
          handler: ({ rate, seconds }) => new Promise((resolve) => {
            const startedAt = performance.now()
            let written = 0
            const timer = setInterval(() => {
              const due = Math.min(rate * seconds, ((performance.now() - startedAt) / 1000) * rate)
              for (; written + 1 <= due; written++) {
                log.info('Order placed: three items, sent with the next truck', { order: written, path: '/api/things/77' })
              }
              if (written < rate * seconds) return
              clearInterval(timer)
              resolve(written)
            }, TICK_MS)
          }),
        }),
      },
    })`,
}

/** Put into the page before its own scripts: what it costs, as the browser sees it. */
const WATCH = `
  window.benchTasks = []
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) window.benchTasks.push([startTime, duration])
  }).observe({ type: 'longtask', buffered: true })
  window.benchShown = new Promise((resolve) => {
    const look = () => {
      if (document.querySelector('h1.headline')) resolve(performance.now())
      else requestAnimationFrame(look)
    }
    look()
  })`

type Task = [startMs: number, durationMs: number]

interface Opened {
  page: Page
  devtools: CDPSession
}

interface Load {
  shownMs: number
  interactiveMs: number
  /** Over the line, headers included. */
  bytes: number
  files: string[]
}

async function open(context: BrowserContext, slowdown: number): Promise<Opened> {
  const page = await context.newPage()
  const devtools = await context.newCDPSession(page)
  await devtools.send('Network.enable')
  // Processor time, not time: a busy machine makes a page no more expensive.
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' })
  if (slowdown > 1) await devtools.send('Emulation.setCPUThrottlingRate', { rate: slowdown })
  await page.addInitScript(WATCH)
  return { page, devtools }
}

async function load(url: string, { page, devtools }: Opened): Promise<Load> {
  let bytes = 0
  const files: string[] = []
  const onBytes = ({ encodedDataLength }: { encodedDataLength: number }): void => void (bytes += encodedDataLength)
  devtools.on('Network.loadingFinished', onBytes)
  page.on('response', (response) => {
    const [, file] = /\/dashboard\/(assets\/.+)$/.exec(response.url()) ?? []
    if (file !== undefined) files.push(file)
  })
  await page.goto(`${url}/dashboard`)
  const shownMs = (await page.evaluate('window.benchShown')) as number
  await page.evaluate(`new Promise((resolve) => setTimeout(resolve, ${SETTLE_MS}))`)
  const tasks = (await page.evaluate('window.benchTasks')) as Task[]
  const ends = tasks.filter(([start]) => start < shownMs + SETTLE_MS).map(([start, duration]) => start + duration)
  devtools.off('Network.loadingFinished', onBytes)
  return { shownMs, interactiveMs: Math.max(shownMs, ...ends), bytes, files }
}

interface Tail {
  written: number
  shown: number
  tasks: Task[]
  /** Share of the time, 0 to 1. */
  mainThread: number
}

async function tail(
  cluster: LiveCluster,
  { page, devtools }: Opened,
  { rate, seconds }: { rate: number; seconds: number },
): Promise<Tail> {
  await page.goto(`${cluster.api.url}/dashboard/logs?search=order`)
  await page.getByRole('heading', { level: 1, name: 'Logs' }).waitFor()
  await page.getByText(/^\d[\d,]* lines?/).waitFor()
  const before = await linesShown(page)
  await page.evaluate('window.benchTasks.length = 0')
  const busyBefore = await taskSeconds(devtools)
  const startedAt = performance.now()
  const written = (await callMethod(cluster.api, {
    method: 'chatter/write',
    params: { rate, seconds },
    node: WORKER,
    timeoutMs: (seconds + 60) * 1_000,
  })) as number
  const elapsedS = (performance.now() - startedAt) / 1_000
  const busy = (await taskSeconds(devtools)) - busyBefore
  // Lines that never come are told below.
  const all = page.getByText(new RegExp(`^${(before + written).toLocaleString('en')} line`))
  await all.waitFor({ timeout: LAST_LINE_MS_MAX }).catch(() => {})
  const tasks = (await page.evaluate('window.benchTasks')) as Task[]
  return { written, shown: (await linesShown(page)) - before, tasks, mainThread: busy / elapsedS }
}

async function linesShown(page: Page): Promise<number> {
  const text = await page.locator('.push .muted').first().innerText()
  return Number(/[\d,]+/.exec(text)?.[0].replaceAll(',', ''))
}

async function taskSeconds(devtools: CDPSession): Promise<number> {
  const { metrics } = await devtools.send('Performance.getMetrics')
  return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? 0
}

/** Median, with the least and the most. */
function spread(values: number[], unit: string): string {
  const sorted = values.toSorted((a, b) => a - b)
  const text = (value: number | undefined): string => (value ?? 0).toFixed(0)
  return `${text(sorted[sorted.length >> 1])} ${unit} (${text(sorted[0])}–${text(sorted.at(-1))})`
}

function loadLine(name: string, loads: Load[]): string {
  return [
    `${name}: state shown after ${spread(
      loads.map(({ shownMs }) => shownMs),
      'ms',
    )}`,
    `interactive after ${spread(
      loads.map(({ interactiveMs }) => interactiveMs),
      'ms',
    )}`,
    `${spread(
      loads.map(({ bytes }) => bytes / 1_000),
      'kB',
    )} over the line`,
  ].join(', ')
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    rates: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '20' },
    slowdown: { type: 'string', default: '1' },
  },
})
const rounds = Number(values.rounds)
const slowdown = Number(values.slowdown)

await withCleanup(async (cleanup) => {
  const cluster = new LiveCluster(cleanup, { workers: [WORKER] })
  await cluster.start()
  await cluster.deploy('chatter', CHATTER, { count: 1 })
  await cluster.rolledOut('chatter')
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: BROWSER_FLAGS })
  cleanup.after(() => browser.close())
  const { url } = cluster.api

  const enter = async (): Promise<BrowserContext> => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1440, height: 900 } })
    const { credential } = JSON.parse(readFileSync(join(cluster.stateOf(COORDINATOR), 'operator.json'), 'utf8'))
    await context.request.post(`${url}/auth/session`, { data: { credential } })
    return context
  }
  const cold: Load[] = []
  const warm: Load[] = []
  for (let round = 0; round < rounds; round++) {
    const context = await enter()
    const opened = await open(context, slowdown)
    cold.push(await load(url, opened))
    warm.push(await load(url, opened))
    await context.close()
  }
  console.log(loadLine('empty cache', cold))
  const files = new Set(cold[0]?.files)
  const gzip = [...files].reduce((sum, file) => sum + statSync(join(PAGE_DIRECTORY, `${file}.gz`)).size, 0)
  console.log(`first load: ${files.size} files, ${(gzip / 1_000).toFixed(0)} kB with gzip`)
  console.log(loadLine('filled cache', warm))

  const poor = await enter()
  const opened = await open(poor, slowdown)
  await opened.devtools.send('Network.emulateNetworkConditions', POOR_LINE)
  console.log(loadLine('poor line (1.6 Mbit/s, 150 ms), empty cache', [await load(url, opened)]))
  await poor.close()

  for (const rate of values.rates.split(',').map(Number)) {
    const context = await enter()
    const measured = await tail(cluster, await open(context, slowdown), {
      rate,
      seconds: Number(values.seconds),
    })
    const durations = measured.tasks.map(([, duration]) => duration)
    const tooLong = durations.filter((duration) => duration > FAR_TOO_LONG_MS).length
    console.log(
      `tail of ${rate} lines/s, ${values.seconds} s: ${measured.shown} of ${measured.written} lines shown; ${durations.length} tasks over ${LONG_MS} ms, ${tooLong} over ${FAR_TOO_LONG_MS} ms, longest ${Math.max(0, ...durations).toFixed(0)} ms; main thread ${(measured.mainThread * 100).toFixed(0)} % of a core`,
    )
    await context.close()
  }
})
