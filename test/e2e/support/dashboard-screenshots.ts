/*
 * Makes docs/screenshots anew from the built page and the stub's cluster:
 * node --conditions=source test/e2e/support/dashboard-screenshots.ts [PAGE…]
 */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { chromium } from 'playwright-core'
import { BROWSER_FLAGS, chromiumPath } from './browser.ts'
import { STUB_LINK, startDashboardStub } from './dashboard-stub.ts'

const PAGES: Record<string, string> = {
  overview: '',
  nodes: '/nodes',
  node: '/nodes/worker-berlin-1',
  services: '/services',
  service: '/services/shop',
  logs: '/logs',
  updates: '/updates',
  certificates: '/certificates',
  events: '/events',
  settings: '/settings',
}
const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }

const directory = resolve(import.meta.dirname, '../../../docs/screenshots')
mkdirSync(directory, { recursive: true })
const endings: (() => unknown)[] = []
try {
  const stub = await startDashboardStub({ after: (end) => void endings.push(end) })
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: BROWSER_FLAGS })
  endings.push(() => browser.close())
  const chosen = process.argv.slice(2)
  for (const [name, path] of Object.entries(PAGES)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const colorScheme of ['light', 'dark'] as const) {
        // Without movement: two pictures of the same page are the same.
        const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' })
        const page = await context.newPage()
        await page.goto(`${stub.url}/dashboard${path}#login=${STUB_LINK}`)
        await page.getByRole('heading', { level: 1 }).waitFor()
        await page.waitForLoadState('networkidle')
        await page.screenshot({ path: join(directory, `${name}-${size}-${colorScheme}.png`) })
        await context.close()
      }
    }
  }
} finally {
  for (const end of endings.reverse()) await end()
}
