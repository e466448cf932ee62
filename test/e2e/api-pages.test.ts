import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { isLeftOut } from './support/left-out.ts'
import { freePort, makeHome, p2p, startNode } from './support/node-process.ts'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const SCREENS = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } }

/**
 * Said on every visit: the page first asks as whoever the browser is already, and is refused; and ReDoc remarks that its samples of
 * a batch are guessed.
 */
const KNOWN = [
  /^Failed to load resource: the server responded with a status of 401/,
  /^OpenAPI Sampler: found allOf with "array" type/,
]

/** A page as a person has it, and everything it did that it should not. */
interface Visit {
  page: Page
  /** Errors and warnings of the console, failures of scripts, requests to other origins. */
  complaints: string[]
}

interface Site {
  browser: Browser
  url: string
  /** The line of the file that `p2p login` wrote, as a person copies it. */
  tokenLine: string
}

async function openSite(t: TestContext): Promise<Site> {
  const home = makeHome(t)
  const port = await freePort()
  const file = home.config('coordinator-1', { port, bind_address: '127.0.0.1', coordinator_mode: true })
  const { url } = await startNode(t, file).ready()
  const login = await p2p(['login'], { cwd: home.directory })
  assert.equal(login.code, 0, login.stderr)
  const curlrc = readFileSync(join(home.directory, 'xdg/p2p/curlrc'), 'utf8')
  const tokenLine = curlrc.split('\n').find((line) => line.includes('Bearer'))
  assert.ok(tokenLine)
  const executablePath = execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim()
  const browser = await chromium.launch({ executablePath, args: FLAGS })
  t.after(() => browser.close())
  return { browser, url, tokenLine }
}

async function visit(t: TestContext, site: Site, path: string, options: BrowserContextOptions = {}): Promise<Visit> {
  // The cluster's own authority is in no browser.
  const context = await site.browser.newContext({ ignoreHTTPSErrors: true, viewport: SCREENS.desktop, ...options })
  t.after(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  const complaints: string[] = []
  page.on('console', (message) => {
    const isBad = message.type() === 'error' || message.type() === 'warning'
    if (isBad && !KNOWN.some((known) => known.test(message.text()))) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url())
    if (origin !== site.url && protocol !== 'data:' && protocol !== 'blob:') complaints.push(request.url())
  })
  await page.goto(site.url + path)
  return { page, complaints }
}

async function enterToken(page: Page, token: string): Promise<void> {
  await page.getByLabel('Access token').fill(token)
  await page.getByRole('button', { name: 'Show' }).click()
}

function isAsWideAsTheScreen(page: Page): Promise<boolean> {
  return page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')
}

/** "Try it out" of one operation of Swagger UI; its group is opened first. @returns the text of the answer shown */
async function tryOut(page: Page, operation: string): Promise<string> {
  const block = page.locator(`#operations-${operation}`)
  const [group] = operation.split('-')
  if ((await block.count()) === 0) await page.locator(`#operations-tag-${group}`).click()
  await block.locator('.opblock-summary-control').click()
  await block.getByRole('button', { name: 'Try it out' }).click()
  await block.getByRole('button', { name: 'Execute' }).click()
  const shown = block.locator('.live-responses-table tbody')
  await shown.waitFor()
  return shown.innerText()
}

test('the pages of the interface, in a browser', { skip: isLeftOut('chromium') }, async (t) => {
  const site = await openSite(t)

  for (const [name, viewport] of Object.entries(SCREENS)) {
    await t.test(`/docs shows the interface and calls it, on a ${name}`, async (t) => {
      const { page, complaints } = await visit(t, site, '/docs', { viewport })
      await enterToken(page, site.tokenLine)
      assert.match(await tryOut(page, 'cluster-getHealth'), /^200[^]*"node_id": "coordinator-1"/)
      assert.match(await tryOut(page, 'cluster-getStatus'), /^200[^]*"role": "coordinator"/, 'the token goes with it')
      assert.ok(await isAsWideAsTheScreen(page))
      assert.deepEqual(complaints, [])
    })

    await t.test(`/redoc shows the interface, on a ${name}`, async (t) => {
      const { page, complaints } = await visit(t, site, '/redoc', { viewport })
      await enterToken(page, site.tokenLine)
      await page.getByRole('heading', { name: /^P2P Core/ }).waitFor()
      await page.getByRole('heading', { name: 'Log lines, newest first' }).waitFor()
      assert.ok(await isAsWideAsTheScreen(page))
      assert.deepEqual(complaints, [])
    })
  }

  await t.test(
    'a wrong token is refused with the reason, the right one helps then, and neither stays behind',
    async (t) => {
      const { page, complaints } = await visit(t, site, '/docs', { colorScheme: 'dark' })
      await page.getByLabel('Access token').fill('not.a.token')
      await page.keyboard.press('Enter')
      await page.getByRole('alert').filter({ hasText: /token/ }).waitFor()
      await enterToken(page, site.tokenLine)
      await page.locator('#operations-tag-cluster').waitFor()
      assert.equal(await page.getByLabel('Access token').count(), 0, 'the form is gone')
      const kept = await page.evaluate('[localStorage.length, sessionStorage.length, document.cookie]')
      assert.deepEqual(kept, [0, 0, ''])
      assert.deepEqual(complaints, [])

      // Dark for those who like it dark, also when they change their mind.
      const isDark =
        'Math.max(...getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).slice(0, 3)) < 64'
      assert.equal(await page.evaluate(isDark), true)
      await page.emulateMedia({ colorScheme: 'light' })
      await page.waitForFunction("!document.documentElement.classList.contains('dark-mode')")
      await page.reload()
      await page.getByLabel('Access token').waitFor()
    },
  )

  await t.test('the policy of the pages stops what they do not need', async (t) => {
    for (const path of ['/docs', '/redoc']) {
      const { page, complaints } = await visit(t, site, path)
      await page.getByLabel('Access token').waitFor()
      await page.evaluate(`{
        const script = document.createElement('script')
        script.textContent = 'window.wasRun = true'
        document.body.append(script)
      }`)
      assert.equal(await page.evaluate('window.wasRun'), undefined, path)
      const elsewhere = await page.evaluate("fetch('https://127.0.0.1:1/').then(() => 'sent', () => 'stopped')")
      assert.equal(elsewhere, 'stopped')
      for (const stopped of [/inline script violates.*script-src 'self'/, /Connecting to .*connect-src 'self'/]) {
        assert.ok(
          complaints.some((text) => stopped.test(text)),
          complaints.join('\n'),
        )
      }
    }
  })
})
