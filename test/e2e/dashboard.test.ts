import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test, type TestContext } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { BROWSER_FLAGS, chromiumPath } from './support/browser.ts'
import {
  type DashboardStub,
  HOSTILE_SERVICE,
  STUB_CODE,
  STUB_CREDENTIAL,
  STUB_INVITATION,
  STUB_LINK,
  STUB_PASSWORD,
  startDashboardStub,
  stubLines,
} from './support/dashboard-stub.ts'
import { isLeftOut } from './support/left-out.ts'
import { eventually, freePort, makeHome, type NodeProcess, startNode } from './support/node-process.ts'

const SCREENS = { phone: { width: 390, height: 844 }, desktop: { width: 1440, height: 900 } }

const PAGE_DIRECTORY = resolve(import.meta.dirname, '../../dist/dashboard')
/** With gzip. */
const FIRST_LOAD_BYTES_MAX = 250_000

/** Said by the browser when a page asks who it is and is a stranger, or a route or the WebSocket is not there. */
const KNOWN = [/^Failed to load resource/, /^WebSocket connection to .* failed/]

interface Visit {
  page: Page
  /** Errors and warnings of the console, failures of scripts, requests to other origins. */
  complaints: string[]
}

async function visit(
  t: TestContext,
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: SCREENS.desktop, ...options })
  t.after(() => context.close())
  const page = await context.newPage()
  // The machine may be busy; what never comes ends the test all the same.
  page.setDefaultTimeout(60_000)
  const complaints: string[] = []
  page.on('console', (message) => {
    const isBad = message.type() === 'error' || message.type() === 'warning'
    if (isBad && !KNOWN.some((known) => known.test(message.text()))) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => {
    const { host, protocol } = new URL(request.url())
    if (host !== new URL(url).host && protocol !== 'data:' && protocol !== 'blob:') complaints.push(request.url())
  })
  await page.goto(url)
  return { page, complaints }
}

/** The stub's page, logged in by its link. */
function enter(t: TestContext, browser: Browser, stub: DashboardStub, path = '', options: BrowserContextOptions = {}) {
  return visit(t, browser, `${stub.url}/dashboard${path}#login=${STUB_LINK}`, options)
}

const heading = (page: Page, name: string | RegExp) => page.getByRole('heading', { level: 1, name })

/** The other way in. */
async function credentialField(page: Page) {
  await page.getByRole('button', { name: 'Use the operator credential' }).click()
  return page.getByLabel('Operator credential', { exact: true })
}

function isAsWideAsTheScreen(page: Page): Promise<boolean> {
  return page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')
}

/** Of many small ones, each with a limit of its own: a browser on a busy machine takes its time. */
const BROWSER_TEST_MS = 15 * 60_000

test('the dashboard, in a browser', { skip: isLeftOut('chromium'), timeout: BROWSER_TEST_MS }, async (t) => {
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: BROWSER_FLAGS })
  t.after(() => browser.close())
  const stub = await startDashboardStub(t)

  await t.test('a one-time link lets in and is gone from the address', async (t) => {
    const { page, complaints } = await enter(t, browser, stub)
    await heading(page, 'Something is broken').waitFor()
    assert.equal(new URL(page.url()).hash, '')
    await page.reload()
    await heading(page, 'Something is broken').waitFor()
    assert.deepEqual(await page.evaluate('Object.keys(sessionStorage)'), [], 'the cookie is enough')
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByLabel('Password', { exact: true }).waitFor()
    await page.reload()
    await page.getByLabel('Password', { exact: true }).waitFor()
    assert.deepEqual(complaints, [])
  })

  await t.test('the first load is small', async (t) => {
    const { page } = await enter(t, browser, stub)
    await heading(page, 'Something is broken').waitFor()
    const loaded = (await page.evaluate(
      "performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.includes('/assets/'))",
    )) as string[]
    const sizes = loaded.map((name) => statSync(join(PAGE_DIRECTORY, `${new URL(name).pathname.slice(11)}.gz`)).size)
    assert.ok(sizes.length > 2)
    assert.ok(sizes.reduce((sum, size) => sum + size) <= FIRST_LOAD_BYTES_MAX, sizes.join(' + '))
  })

  await t.test('a wrong credential is refused with the reason, the right one lets in', async (t) => {
    const { page, complaints } = await visit(t, browser, `${stub.url}/dashboard/nodes`)
    const field = await credentialField(page)
    await field.fill('P2PO1-wrong')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').filter({ hasText: 'not the one of this cluster' }).waitFor()
    await field.fill(STUB_CREDENTIAL)
    await page.keyboard.press('Enter')
    await heading(page, 'Nodes').waitFor()
    assert.deepEqual(complaints, [])
  })

  await t.test('a person logs in by name and password, and by a code where there is a second step', async (t) => {
    const { page, complaints } = await visit(t, browser, `${stub.url}/dashboard/nodes`)
    await page.getByLabel('Name').fill('grace')
    const password = page.getByLabel('Password', { exact: true })
    await password.fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').waitFor()
    await password.fill(STUB_PASSWORD)
    await page.keyboard.press('Enter')
    const code = page.getByLabel('Code')
    await code.fill('000000')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').waitFor()
    await code.fill(STUB_CODE)
    await page.keyboard.press('Enter')
    await heading(page, 'Nodes').waitFor()
    assert.deepEqual(complaints, [])
  })

  await t.test('an invitation sets a password and lets in; a used one leads to the login', async (t) => {
    const { page, complaints } = await visit(t, browser, `${stub.url}/dashboard#invitation=${STUB_INVITATION}`)
    await heading(page, 'Welcome, ada').waitFor()
    assert.equal(new URL(page.url()).hash, '')
    await page.getByLabel('Password', { exact: true }).fill(STUB_PASSWORD)
    await page.keyboard.press('Enter')
    await heading(page, 'Something is broken').waitFor()
    assert.deepEqual(stub.acts.splice(0), ['POST /auth/invitation'])
    const used = await visit(t, browser, `${stub.url}/dashboard#invitation=used`)
    await used.page.getByRole('button', { name: 'To the login' }).click()
    await used.page.getByLabel('Password', { exact: true }).waitFor()
    assert.deepEqual(complaints, [])
  })

  await t.test('a person sets a second step up and is shown the recovery codes; an admin invites', async (t) => {
    const { page, complaints } = await enter(t, browser, stub, '/settings')
    const step = page.getByRole('region', { name: 'Second step' })
    await step.getByLabel('Your password', { exact: true }).fill(STUB_PASSWORD)
    await page.keyboard.press('Enter')
    await step.getByText('GEZD GNBV').waitFor()
    await step.getByLabel('Code it shows').fill(STUB_CODE)
    await page.keyboard.press('Enter')
    await step.getByText('aaaa-bbbb-cccc-ddda').waitFor()
    const users = page.getByRole('region', { name: 'Users' }).first()
    await users.getByLabel('Name').fill('Margaret')
    await users.getByLabel('Role').first().selectOption('operator')
    await users.getByRole('button', { name: 'Invite' }).click()
    await users.getByText('/dashboard#invitation=xxx').waitFor()
    assert.deepEqual(stub.acts.splice(0), [
      `POST /auth/totp {"password":"${STUB_PASSWORD}"}`,
      `PUT /auth/totp {"code":"${STUB_CODE}"}`,
      'POST /api/users {"name":"margaret","role":"operator"}',
    ])
    assert.deepEqual(complaints, [])
  })

  for (const colorScheme of ['light', 'dark'] as const) {
    await t.test(`the ways in are easy to use for everybody, on a phone, ${colorScheme}`, async (t) => {
      for (const [hash, title] of [
        ['', 'P2P Core'],
        [`#invitation=${STUB_INVITATION}`, 'Welcome, ada'],
      ] as const) {
        const { page } = await visit(t, browser, `${stub.url}/dashboard${hash}`, {
          colorScheme,
          viewport: SCREENS.phone,
        })
        await heading(page, title).waitFor()
        assert.ok(await isAsWideAsTheScreen(page))
        const { violations } = await new AxeBuilder({ page }).analyze()
        const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
        assert.deepEqual(
          serious.map(({ id, nodes }) => `${title} ${id}: ${nodes.map(({ html }) => html).join(' ')}`),
          [],
        )
      }
    })
  }

  await t.test('a used link says so and leaves the login', async (t) => {
    const { page } = await visit(t, browser, `${stub.url}/dashboard#login=used`)
    await page.getByRole('alert').waitFor()
    assert.equal(new URL(page.url()).hash, '')
  })

  const pages: [path: string, title: string | RegExp, content: string][] = [
    ['', 'Something is broken', 'worker-lisbon-1 is down'],
    ['/nodes', 'Nodes', 'worker-madrid-1'],
    ['/nodes/worker-berlin-1', 'worker-berlin-1', '5b1d0c19a7e4f2063c1'],
    ['/services', 'Services', 'ledger 0.1.0'],
    ['/services/shop', 'shop', 'Rolling out shop 2.5.0'],
    ['/logs', 'Logs', 'connect ECONNREFUSED'],
    ['/updates', 'Updates', 'Cannot find module'],
    ['/certificates', 'Certificates', 'worker-porto-9'],
    ['/settings', 'Settings', '10.20.7.31'],
    ['/events', 'Events', 'shop 2.5.0 is rolled out'],
  ]
  for (const [size, colorScheme] of [
    ['phone', 'dark'],
    ['desktop', 'light'],
    ['desktop', 'dark'],
  ] as const) {
    await t.test(`every page is whole, accessible and within a ${size}'s width, ${colorScheme}`, async (t) => {
      const { page, complaints } = await enter(t, browser, stub, '', { viewport: SCREENS[size], colorScheme })
      await heading(page, 'Something is broken').waitFor()
      for (const [path, title, content] of pages) {
        await page.goto(`${stub.url}/dashboard${path}`)
        await heading(page, title).waitFor()
        await page.getByText(content).first().waitFor({ state: 'attached' })
        assert.ok(await isAsWideAsTheScreen(page), `${path} is too wide`)
        const { violations } = await new AxeBuilder({ page }).analyze()
        const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
        assert.deepEqual(
          serious.map(({ id, nodes }) => `${path} ${id}: ${nodes.map(({ html }) => html).join(' ')}`),
          [],
        )
      }
      assert.deepEqual(complaints, [])
    })
  }

  await t.test('hostile names and lines are shown and do nothing', async (t) => {
    const { page, complaints } = await enter(t, browser, stub, '/services')
    await page.getByRole('link', { name: HOSTILE_SERVICE }).waitFor()
    await page.goto(`${stub.url}/dashboard/logs`)
    await page.getByRole('region', { name: 'Log lines' }).waitFor()
    const hostile = `${HOSTILE_SERVICE}\u0007\u202e<script>window.wasRun = true</script>`
    stub.push({
      type: 'new_logs',
      node_id: 'worker-oslo-2',
      logs: [
        { ...stubLines(1)[0], timestamp: new Date(Date.now() + 1000).toISOString(), message: hostile, seq: 9_001 },
      ],
    })
    await page.getByText('\u2407\\u202e<script>').waitFor()
    assert.equal(await page.evaluate('window.wasRun'), undefined)
    assert.equal(await page.locator('img').count(), 0)
    assert.deepEqual(complaints, [])
  })

  await t.test('what is pushed is shown: a node that fell, figures, a node that left', async (t) => {
    const { page } = await enter(t, browser, stub, '/nodes')
    const row = page.getByRole('row', { name: /^worker-oslo-2/ })
    await row.getByText('alive').waitFor()
    const fallen = { ...stubNode('worker-oslo-2'), status: 'dead' }
    stub.push({ type: 'update', data: { nodes: [fallen] }, cursor: 'c2' })
    await row.getByText('dead').waitFor()
    stub.push({ type: 'update', data: { removed: { nodes: ['worker-oslo-2'] } }, cursor: 'c3' })
    await row.waitFor({ state: 'detached' })
  })

  await t.test('a broken line is said, and caught up with by itself', async (t) => {
    const own = await startDashboardStub(t)
    const { page } = await enter(t, browser, own)
    await heading(page, 'Something is broken').waitFor()
    own.push({ type: 'update', data: {}, cursor: 'c7' })
    await page.getByRole('link', { name: 'Logs' }).click()
    own.fail()
    await page.getByText('Disconnected.').waitFor()
    own.recover()
    await page.getByText('Disconnected.').waitFor({ state: 'detached' })
    await eventually(
      async () => own.subscriptions,
      (asked) => asked.some(({ resume }) => resume === 'c7'),
    )
  })

  await t.test('what could not be asked for a while is asked again', async (t) => {
    const { page } = await enter(t, browser, stub)
    await heading(page, 'Something is broken').waitFor()
    let isCut = true
    let refused = 0
    await page.route('**/api/nodes/pending', async (route) => {
      if (!isCut) return route.continue()
      refused++
      await route.abort('internetdisconnected')
    })
    await page.getByRole('link', { name: 'Nodes', exact: true }).click()
    await heading(page, 'Nodes').waitFor()
    // Tried again at once, given up, and asked for as if nothing had been.
    await eventually(
      async () => refused,
      (count) => count > 3,
    )
    isCut = false
    await page.getByRole('button', { name: 'Approve' }).waitFor()
  })

  await t.test('a node that is not reached at first is asked again, and the link is not lost by it', async (t) => {
    const { page } = await enter(t, browser, stub)
    await heading(page, 'Something is broken').waitFor()
    for (const path of ['/dashboard/nodes', `/dashboard/nodes#login=${STUB_LINK}`]) {
      const context = await browser.newContext({ storageState: await page.context().storageState() })
      t.after(() => context.close())
      const other = await context.newPage()
      await other.route('**/auth/session', (route) => route.abort('connectionaborted'), { times: 1 })
      await other.goto(stub.url + path)
      await other.getByText('The node does not answer').first().waitFor()
      await heading(other, 'Nodes').waitFor()
    }
  })

  await t.test('a browser that thinks it is offline reaches the node of its own machine', async (t) => {
    const { page } = await enter(t, browser, stub, '/services/shop')
    await page.getByRole('button', { name: 'Scale' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Instances').fill('6')
    await page.evaluate(`
      Object.defineProperty(navigator, 'onLine', { value: false })
      window.dispatchEvent(new Event('offline'))
    `)
    await dialog.getByRole('button', { name: 'Scale' }).click()
    await dialog.waitFor({ state: 'detached' })
    assert.deepEqual(stub.acts.splice(0), ['POST /api/deployments/shop/scale {"count":6}'])
  })

  await t.test('without WebSocket and sessions the page asks the routes, by a token of this tab only', async (t) => {
    const poor = await startDashboardStub(t, { hasSocket: false, hasSessions: false })
    const { page, complaints } = await visit(t, browser, `${poor.url}/dashboard`)
    await (await credentialField(page)).fill(STUB_CREDENTIAL)
    await page.keyboard.press('Enter')
    await heading(page, 'Something is broken').waitFor()
    await page.getByText('worker-lisbon-1 is down').waitFor()
    await page.getByRole('link', { name: 'Logs' }).click()
    await page.getByText('connect ECONNREFUSED').first().waitFor()
    assert.deepEqual(await page.evaluate('[Object.keys(sessionStorage), document.cookie]'), [['p2p-token'], ''])
    await page.reload()
    await heading(page, 'Logs').waitFor()
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByLabel('Password', { exact: true }).waitFor()
    assert.deepEqual(await page.evaluate('Object.keys(sessionStorage)'), [])
    assert.deepEqual(complaints, [])
  })

  await t.test('an operator changes a service after confirming, and calls a method', async (t) => {
    const { page } = await enter(t, browser, stub, '/services/shop')
    await page.getByRole('button', { name: 'Scale' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Instances').fill('6')
    assert.deepEqual(stub.acts, [], 'nothing before it is confirmed')
    await dialog.getByRole('button', { name: 'Scale' }).click()
    await dialog.waitFor({ state: 'detached' })
    assert.deepEqual(stub.acts.splice(0), ['POST /api/deployments/shop/scale {"count":6}'])

    await page.getByLabel('customer').fill('ada')
    await page.getByLabel('state', { exact: true }).selectOption('paid')
    await page.getByRole('button', { name: 'Call list_orders' }).click()
    await page.getByLabel('Result').getByText('48213').waitFor()
    const [call] = stub.acts.splice(0)
    assert.deepEqual(JSON.parse((call ?? '').replace('POST /rpc ', '')), {
      jsonrpc: '2.0',
      id: 1,
      method: 'shop/list_orders',
      params: { customer: 'ada', state: 'paid', limit: 20 },
    })
    await page.getByLabel('between (JSON)').fill('{no')
    await page.getByRole('button', { name: 'Call list_orders' }).click()
    await page.getByRole('alert').filter({ hasText: 'between is not JSON' }).waitFor()
    assert.deepEqual(stub.acts, [])
  })

  await t.test(
    'a service that only other nodes run is called by a form too: one of them tells what it takes',
    async (t) => {
      const { page } = await enter(t, browser, stub, '/services/search')
      await page.getByLabel('customer').fill('ada')
      await page.getByLabel('On', { exact: true }).selectOption('worker-oslo-2')
      const called = page.waitForRequest((request) => request.url().endsWith('/rpc?node=worker-oslo-2'))
      await page.getByRole('button', { name: 'Call list_orders' }).click()
      await called
      await page.getByLabel('Result').getByText('48213').waitFor()
      assert.equal(stub.acts.splice(0).length, 1)
    },
  )

  await t.test('what fires is at the top; acknowledged, silenced and tested with one click', async (t) => {
    const { page, complaints } = await enter(t, browser, stub)
    const alerts = page.getByRole('region', { name: 'Alerts' })
    await alerts.getByText('grace takes care of it').waitFor()
    // What fires is not told a second time below.
    assert.equal(await page.getByText('worker-lisbon-1 is down').count(), 1)
    const answered = (path: string) => page.waitForResponse((response) => response.url().includes(path))
    const acknowledged = answered('/api/alerts/acknowledge')
    await alerts.getByRole('button', { name: 'I take care of it' }).click()
    await acknowledged
    assert.deepEqual(stub.acts.splice(0), ['POST /api/alerts/acknowledge {"id":"node/worker-lisbon-1"}'])
    stub.push({ type: 'update', data: { attention: [] }, cursor: 'c2' })
    await heading(page, 'Everything is running').waitFor()
    await alerts.getByText('Gone at the moment').first().waitFor()
    const silenced = answered('/api/alerts/silences')
    await alerts.getByRole('button', { name: 'Silence for 1 h' }).click()
    await silenced
    const [silence] = stub.acts.splice(0)
    assert.match(silence ?? '', /^POST \/api\/alerts\/silences \{"alert_id":"node\/worker-lisbon-1","until":"\d{4}-/)
    await page.goto(`${stub.url}/dashboard/events`)
    await page.getByRole('button', { name: 'Alerts', exact: true }).click()
    await page.getByRole('button', { name: 'Send a test' }).click()
    await page.getByText('took the test in 84 ms').waitFor()
    await page.getByText('connect ECONNREFUSED 10.20.0.9:587').waitFor()
    const { violations } = await new AxeBuilder({ page }).analyze()
    assert.deepEqual(
      violations.filter(({ impact }) => impact === 'serious' || impact === 'critical'),
      [],
    )
    const ended = answered('/api/alerts/silences/')
    await page.getByRole('button', { name: 'End', exact: true }).click()
    await ended
    assert.deepEqual(stub.acts.splice(0), ['POST /api/alerts/test {}', 'DELETE /api/alerts/silences/3f0a9c21b7d4'])
    assert.deepEqual(complaints, [])
  })

  await t.test('why a service is as it is: cause, what happened before, its last lines, what to do', async (t) => {
    const { page } = await enter(t, browser, stub, '/services/shop')
    await page.getByRole('button', { name: 'Why?' }).click()
    const dialog = page.getByRole('dialog')
    for (const text of [
      'It began 2 minutes after this',
      'it ran out of memory',
      'Raise limits.memoryMb',
      'shop was given up',
      'heap out of memory',
    ]) {
      await dialog.getByText(text).first().waitFor()
    }
    const { violations } = await new AxeBuilder({ page }).analyze()
    assert.deepEqual(
      violations.filter(({ impact }) => impact === 'serious' || impact === 'critical'),
      [],
    )
  })

  await t.test('an admin approves the key that was compared, not a name', async (t) => {
    const { page } = await enter(t, browser, stub, '/nodes')
    await page.getByRole('button', { name: 'Approve' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('4f1c 9a07 b2d3').waitFor()
    await dialog.getByRole('button', { name: 'Approve' }).click()
    await dialog.waitFor({ state: 'detached' })
    const [approval] = stub.acts.splice(0)
    assert.match(approval ?? '', /^POST \/api\/nodes\/r-1\/approve \{"fingerprint":"4f1c9a07b2d3/)
  })

  await t.test('a viewer is offered nothing that changes the cluster', async (t) => {
    const viewed = await startDashboardStub(t, { role: 'viewer' })
    const { page } = await enter(t, browser, viewed)
    await heading(page, 'Something is broken').waitFor()
    for (const [path, title] of pages) {
      await page.goto(`${viewed.url}/dashboard${path}`)
      await heading(page, title).waitFor()
      for (const name of ['Restart', 'Stop', 'Scale', 'Drain', 'Approve', 'Revoke', 'Make a token', 'Audit trail']) {
        assert.equal(await page.getByRole('button', { name, exact: true }).count(), 0, `${path} ${name}`)
      }
    }
  })

  await t.test('a node that is drained says so, and only what applies is offered', async (t) => {
    const own = await startDashboardStub(t)
    const told = (drain?: string): void => {
      own.push({ type: 'update', data: { nodes: [{ ...stubNode('worker-berlin-1'), status: 'alive', drain }] } })
    }
    const { page, complaints } = await enter(t, browser, own, '/nodes/worker-berlin-1')
    const drain = page.getByRole('button', { name: 'Drain', exact: true })
    const useAgain = page.getByRole('button', { name: 'Use again', exact: true })
    await drain.click()
    await page.getByRole('dialog').getByRole('button', { name: 'Drain', exact: true }).click()
    told('draining')
    await page.locator('.page-head').getByText('draining', { exact: true }).waitFor()
    await useAgain.waitFor()
    assert.equal(await drain.count(), 0)
    told('drained')
    await page.locator('.page-head').getByText('drained', { exact: true }).waitFor()
    await page.getByRole('link', { name: 'Nodes', exact: true }).first().click()
    await heading(page, 'Nodes').waitFor()
    const row = page.getByRole('row').filter({ hasText: 'worker-berlin-1' })
    await row.getByText('drained', { exact: true }).waitFor()
    await page.goBack()
    await useAgain.click()
    await page.getByRole('dialog').getByRole('button', { name: 'Use again', exact: true }).click()
    told()
    await drain.waitFor()
    assert.equal(await useAgain.count(), 0)
    assert.deepEqual(own.acts, ['POST /api/nodes/worker-berlin-1/drain', 'POST /api/nodes/worker-berlin-1/undrain'])
    assert.deepEqual(complaints, [])
  })

  await t.test('a hundred thousand lines: few rows, filtered, paused, exported', async (t) => {
    const long = await startDashboardStub(t, { lines: [] })
    const { page, complaints } = await enter(t, browser, long, '/logs')
    await page.getByText('No line matches').waitFor()
    const lines = stubLines(100_000)
    for (let at = 0; at < lines.length; at += 10_000) {
      long.push({ type: 'new_logs', node_id: '*', logs: lines.slice(at, at + 10_000) })
    }
    await page.getByText('100,000 lines').waitFor()
    assert.ok((await page.locator('.log-row').count()) < 120, 'only the rows in sight are elements')
    const box = page.getByRole('region', { name: 'Log lines' })
    await box.evaluate('(element) => { element.scrollTop = 0 }')
    await page.locator('.log-row').first().waitFor()

    // A filter is the node's to apply: the newest lines it lets through, earlier ones as the reader goes up.
    await page.getByLabel('Level').selectOption('ERROR')
    await page.getByText('1,000 lines, and earlier ones').waitFor()
    await box.press('Home')
    await box.evaluate('(element) => { element.scrollTop = 0 }')
    await page.getByText('2,000 lines, and earlier ones').waitFor()
    await page.getByRole('button', { name: '↓ Newest' }).click()
    await page.getByRole('button', { name: 'Pause' }).click()
    const more = { ...lines.at(-1), level: 'ERROR', message: 'one more', seq: 100_001 }
    long.push({ type: 'new_logs', node_id: '*', logs: [more] })
    await page.getByRole('button', { name: 'Go on (1 new)' }).waitFor()
    await page.getByRole('button', { name: 'Go on (1 new)' }).click()
    long.push({ type: 'dropped', count: 12_000, reason: 'too slow' })
    await page.getByText('12,000 lines of those below are missing').waitFor()
    await page.getByRole('button', { name: 'Read the newest anew' }).click()
    await page.getByText('12,000 lines of those below').waitFor({ state: 'detached' })
    await page.getByLabel('Search').fill('one more')
    await page.getByText('1 line', { exact: true }).waitFor()
    const download = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Export' }).click()
    const [saved, ...rest] = readFileSync(await (await download).path(), 'utf8')
      .trim()
      .split('\n')
    assert.equal(JSON.parse(saved ?? '').message, 'one more')
    assert.deepEqual(rest, [])
    assert.deepEqual(complaints, [])
  })

  await t.test('a moment of a graph leads to its lines, a line to those of its call', async (t) => {
    const { page, complaints } = await enter(t, browser, stub, '/nodes/worker-berlin-1')
    const graph = page.getByRole('slider', { name: 'CPU over time' })
    await graph.locator('canvas').waitFor()
    await graph.focus()
    await page.keyboard.press('ArrowLeft')
    await page.keyboard.press('ArrowLeft')
    const read = await graph.getAttribute('aria-valuetext')
    assert.match(read ?? '', /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: \d+ %$/)
    await page.keyboard.press('Enter')
    await heading(page, 'Logs').waitFor()
    await page.getByText(`around ${(read ?? '').slice(5, 19)}`).waitFor()
    assert.equal(await page.getByLabel('Node', { exact: true }).inputValue(), 'worker-berlin-1')
    await page.locator('.log-row[data-at=true]').waitFor()
    for (const node of await page.locator('.log-node').allInnerTexts()) assert.equal(node, 'worker-berlin-1')

    await page.getByRole('button', { name: 'To the newest' }).click()
    await page.getByLabel('Node', { exact: true }).selectOption('')
    await page.locator('.log-row.level-ERROR').last().click()
    await page.getByRole('button', { name: 'All lines of this call' }).click()
    await page.getByRole('button', { name: /^One call: c0ffee/ }).waitFor()
    await page.locator('.log-row:not(.level-ERROR)').first().waitFor({ state: 'detached' })
    assert.match(new URL(page.url()).search, /trace=/)
    assert.deepEqual(complaints, [])
  })

  await t.test('the calls of a service are drawn over time, and lead to what it wrote then', async (t) => {
    const { page, complaints } = await enter(t, browser, stub, '/services/shop')
    const calls = page.getByRole('slider', { name: 'Calls, per second over time' })
    await calls.locator('canvas').waitFor()
    assert.match((await calls.getAttribute('aria-valuetext')) ?? '', /: all \S+ · failed \S+$/)
    const latency = page.getByRole('slider', { name: 'Latency over time' })
    assert.match((await latency.getAttribute('aria-valuetext')) ?? '', /: 99 % within \S+ ms · half within \S+ ms$/)
    await page.getByRole('group', { name: 'Range' }).getByRole('button', { name: '7 d' }).click()
    await calls.focus()
    await page.keyboard.press('ArrowLeft')
    await page.keyboard.press('Enter')
    await heading(page, 'Logs').waitFor()
    assert.equal(await page.getByLabel('Logger').inputValue(), 'Service.shop')
    assert.match(new URL(page.url()).search, /logger=Service\.shop/)
    assert.deepEqual(complaints, [])
  })

  await t.test('the map shows who calls whom, and a node of it leads to its page', async (t) => {
    const { page, complaints } = await enter(t, browser, stub)
    const map = page.getByRole('group', { name: 'Map of the nodes and the calls between them' })
    await map.getByRole('link', { name: 'worker-lisbon-1, worker, dead' }).waitFor()
    assert.equal(await map.locator('.edge').count(), 6)
    stub.push({ type: 'update', data: { calls: [{ from: 'worker-oslo-2', to: 'coordinator-1', calls_per_s: 7 }] } })
    await page.getByRole('row', { name: 'worker-oslo-2 coordinator-1 7' }).waitFor()
    assert.equal(await map.locator('.edge').count(), 1)
    await map.getByRole('link', { name: 'worker-oslo-2, worker, alive' }).click()
    await heading(page, 'worker-oslo-2').waitFor()
    assert.equal(await page.title(), '(2) worker-oslo-2 · harbour')
    assert.deepEqual(complaints, [])
  })

  await t.test('an operator deploys a kept version after having seen what it changes, and rolls back', async (t) => {
    const { page, complaints } = await enter(t, browser, stub, '/services/shop')
    await page.getByRole('button', { name: 'Deploy', exact: true }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Version').selectOption('a'.repeat(64))
    await dialog.getByLabel('Why, for the history').fill('back to what worked')
    await dialog.getByText('2.5.0 → 2.4.1, on 4 nodes').waitFor()
    assert.deepEqual(stub.acts, [], 'nothing before it is confirmed')
    await dialog.getByRole('button', { name: 'Deploy' }).click()
    await dialog.waitFor({ state: 'detached' })
    const reason = 'back to what worked'
    assert.deepEqual(stub.acts.splice(0), [
      `PUT /api/deployments/shop ${JSON.stringify({ artifact: 'a'.repeat(64), count: 4, reason })}`,
    ])
    await page.getByRole('button', { name: 'Roll back' }).click()
    await dialog.getByLabel('To').selectOption('6')
    await dialog.getByRole('button', { name: 'Roll back' }).click()
    await dialog.waitFor({ state: 'detached' })
    assert.deepEqual(stub.acts.splice(0), ['POST /api/deployments/shop/rollback {"generation":6}'])
    assert.deepEqual(complaints, [])
  })

  await t.test('an admin renews all certificates, bans a node and lifts a ban', async (t) => {
    const { page } = await enter(t, browser, stub, '/certificates')
    const confirm = async (button: string, answer: string): Promise<void> => {
      await page.getByRole('button', { name: button, exact: true }).first().click()
      const dialog = page.getByRole('dialog')
      await dialog.getByRole('button', { name: answer, exact: true }).click()
      await dialog.waitFor({ state: 'detached' })
    }
    await confirm('Renew all certificates', 'Exchange it')
    await confirm('Ban', 'Ban')
    await confirm('Lift the ban', 'Lift the ban')
    assert.deepEqual(stub.acts.splice(0), [
      'POST /api/ca/rotation {"kind":"issuing"}',
      'POST /api/nodes/coordinator-1/ban {}',
      'DELETE /api/nodes/worker-porto-9/ban',
    ])
  })

  await t.test('events and alerts are pushed; where they are not, they are asked for', async (t) => {
    const { page } = await enter(t, browser, stub, '/events')
    await page.getByText('shop 2.5.0 is rolled out').waitFor()
    const event = {
      id: '99',
      time: new Date().toISOString(),
      kind: 'health',
      severity: 'error',
      title: 'cart fell over',
    }
    stub.push({ type: 'new_events', events: [event], cursor: '99' })
    await page.getByText('cart fell over').waitFor()
    await page.getByLabel('Kind').selectOption('deploy')
    await page.getByText('cart fell over').waitFor({ state: 'detached' })
    await page.goto(`${stub.url}/dashboard`)
    await page.getByRole('region', { name: 'Alerts' }).waitFor()
    stub.push({ type: 'alerts', data: { alerts: [], silences: [], targets: [] } })
    await page.getByRole('region', { name: 'Alerts' }).waitFor({ state: 'detached' })

    const old = await startDashboardStub(t, { pushes: false })
    const asking = await enter(t, browser, old)
    await asking.page.getByRole('region', { name: 'Alerts' }).getByText('grace takes care of it').waitFor()
  })

  await t.test('a page that is slow to come says so from its first byte', async (t) => {
    const slow = await startDashboardStub(t)
    const context = await browser.newContext()
    t.after(() => context.close())
    const page = await context.newPage()
    page.setDefaultTimeout(60_000)
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    await page.route('**/assets/index-*.js', async (route) => {
      await opened
      await route.continue()
    })
    await page.goto(`${slow.url}/dashboard#login=${STUB_LINK}`, { waitUntil: 'commit' })
    await page.getByText('Loading…').waitFor()
    open()
    await heading(page, 'Something is broken').waitFor()
  })

  await t.test('a page that cannot be fetched says so, and is there when it is loaded again', async (t) => {
    const { page } = await enter(t, browser, stub)
    await heading(page, 'Something is broken').waitFor()
    await page.route('**/assets/certificates-*.js', (route) => route.abort())
    await page.getByRole('link', { name: 'Certificates', exact: true }).click()
    const again = page.getByRole('button', { name: 'Load it again' })
    await again.waitFor()
    await page.unroute('**/assets/certificates-*.js')
    await again.click()
    await heading(page, 'Certificates').waitFor()
  })

  await t.test('keys open the pages, colours follow the switch', async (t) => {
    const { page } = await enter(t, browser, stub, '', { colorScheme: 'light' })
    await heading(page, 'Something is broken').waitFor()
    await page.keyboard.press('4')
    await heading(page, 'Logs').waitFor()
    await page.getByLabel('Search').fill('22')
    await heading(page, 'Logs').waitFor()
    await page.getByRole('button', { name: 'Pause' }).focus()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keys' }).getByText('Search the log').waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('/')
    await page.keyboard.type('payments')
    assert.equal(await page.getByLabel('Search').inputValue(), '22payments')
    await page.getByRole('button', { name: 'Dark colours' }).click()
    await page.reload()
    await page.getByRole('button', { name: 'Light colours' }).waitFor()
    assert.equal(await page.evaluate('document.documentElement.dataset.mantineColorScheme'), 'dark')
  })
})

test('the dashboard of a real cluster', { skip: isLeftOut('chromium'), timeout: BROWSER_TEST_MS }, async (t) => {
  const { url, credential, startWorker, startStranger } = await startCluster(t)
  let worker = await startWorker()
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: BROWSER_FLAGS })
  t.after(() => browser.close())
  const { page, complaints } = await visit(t, browser, url)

  await t.test('the root leads to it, a credential lets in, by a cookie', async () => {
    assert.equal(new URL(page.url()).pathname, '/dashboard')
    await (await credentialField(page)).fill(credential)
    await page.keyboard.press('Enter')
    await heading(page, /running|broken/i).waitFor()
    assert.deepEqual(await page.evaluate('[Object.keys(sessionStorage), document.cookie]'), [[], ''])
  })

  await t.test('a one-time link lets another browser in, once', async (t) => {
    const answer = await page.request.post(`${url}/auth/link`, { data: { credential } })
    const { secret } = (await answer.json()) as { secret: string }
    const first = await visit(t, browser, `${url}/dashboard#login=${secret}`)
    await heading(first.page, /running|broken/i).waitFor()
    const second = await visit(t, browser, `${url}/dashboard#login=${secret}`)
    await second.page.getByRole('alert').waitFor()
  })

  await t.test('a node that is killed is seen, and its coming back', async () => {
    await page.getByRole('link', { name: 'Nodes', exact: true }).click()
    const row = page.getByRole('row', { name: /^worker-1/ })
    await row.getByText('alive').waitFor()
    worker.kill('SIGKILL')
    await row.getByText(/suspected|dead/).waitFor()
    worker = await startWorker()
    await row.getByText('alive').waitFor()
  })

  await t.test('and the timeline tells of it, and so does the why of its page', async () => {
    await page.getByRole('link', { name: 'Events', exact: true }).click()
    await page.getByLabel('Kind').selectOption('member')
    await page.getByLabel('Node', { exact: true }).selectOption('worker-1')
    await page
      .getByText(/worker-1 (started again|is back|answers again)/)
      .first()
      .waitFor()
    await page.getByRole('link', { name: 'Nodes', exact: true }).click()
    await page.getByRole('link', { name: 'worker-1' }).first().click()
    await page.getByRole('button', { name: 'Why?' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText(/worker-1 is alive and has run for/).waitFor()
    await dialog.getByRole('button', { name: 'Close' }).click()
    await dialog.waitFor({ state: 'detached' })
    await page.getByRole('link', { name: 'Nodes', exact: true }).click()
  })

  await t.test('a machine that waits is approved by the fingerprint it shows, and is there', async (t) => {
    const stranger = await startStranger(t)
    const { fingerprint } = await stranger.event('pending')
    const row = page
      .getByRole('region', { name: 'Waiting for approval' })
      .last()
      .getByRole('row', { name: /^edge-5/ })
    await row.getByRole('button', { name: 'Approve' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText(fingerprint.match(/.{1,4}/g)?.join(' ') ?? '').waitFor()
    await dialog.getByRole('button', { name: 'Approve' }).click()
    await dialog.waitFor({ state: 'detached' })
    await page
      .getByRole('row', { name: /^edge-5/ })
      .getByText('alive')
      .waitFor()
    await row.waitFor({ state: 'detached' })
  })

  await t.test("a node's page has its certificate, and its graphs are read and lead to the log", async () => {
    await page.getByRole('link', { name: 'coordinator-1', exact: true }).click()
    await heading(page, 'coordinator-1').waitFor()
    await page.getByText('Valid until').waitFor()
    const graph = page.getByRole('slider', { name: 'CPU over time' })
    await graph.locator('canvas').waitFor()
    assert.match((await graph.getAttribute('aria-valuetext')) ?? '', /: \d+ %$/)
    await graph.press('Enter')
    await page.locator('.log-row[data-at=true]').waitFor()
    await page.getByRole('button', { name: 'To the newest' }).waitFor()
  })

  await t.test('the certificates are there with their chain, and one is renewed', async () => {
    await page.getByRole('link', { name: 'Certificates', exact: true }).click()
    await page.getByRole('heading', { name: '4 valid certificates' }).waitFor()
    const row = page.getByRole('row', { name: /^worker-2/ })
    const serial = await row.locator('.mono').innerText()
    await row.getByRole('button', { name: 'Renew' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Renew' }).click()
    await dialog.waitFor({ state: 'detached' })
    await page.getByText(serial).waitFor({ state: 'detached' })
    await row.getByText('valid').waitFor()
  })

  await t.test('a method is called by a form made of its schema, and its refusal shown', async () => {
    await page.getByRole('link', { name: 'Services', exact: true }).click()
    await page.getByRole('link', { name: 'watch', exact: true }).click()
    await page.getByLabel('Method', { exact: true }).selectOption('history')
    await page.getByLabel('name').fill('none')
    await page.getByRole('button', { name: 'Call history' }).click()
    await page.getByRole('alert').waitFor()
  })

  await t.test('a method is called, a service restarted on one node', async () => {
    await page.getByRole('link', { name: 'Services', exact: true }).click()
    await page.getByRole('link', { name: 'inventory', exact: true }).click()
    await page.getByLabel('Method', { exact: true }).selectOption('summary')
    await page.getByRole('button', { name: 'Call summary' }).click()
    await page.getByLabel('Result').getByText('cpu').first().waitFor()
    const row = page.getByRole('row', { name: /^worker-1/ })
    await row.getByRole('button', { name: 'Restart' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Restart' }).click()
    await dialog.waitFor({ state: 'detached' })
    await row.getByText('healthy').first().waitFor()
    await page.getByRole('slider', { name: 'Calls, per second over time' }).locator('canvas').waitFor()
    await page.getByRole('slider', { name: 'Latency over time' }).locator('canvas').waitFor()
  })

  await t.test('lines of all nodes are there and are searched', async () => {
    await page.getByRole('link', { name: 'Logs', exact: true }).click()
    await page.getByLabel('Node', { exact: true }).selectOption('worker-1')
    await page.locator('.log-row', { hasText: 'worker-1' }).first().waitFor()
    await page.getByLabel('Node', { exact: true }).selectOption('')
    await page.getByLabel('Search').fill('access token issued')
    await page.locator('.log-row', { hasText: 'Access token issued' }).first().waitFor()
  })

  await t.test('a join token is made, and logging out ends it all', async () => {
    await page.getByRole('link', { name: 'Nodes', exact: true }).click()
    await page.getByRole('button', { name: 'Make a token' }).click()
    await page.getByText('p2p join P2P').waitFor()
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByLabel('Password', { exact: true }).waitFor()
    await page.reload()
    await page.getByLabel('Password', { exact: true }).waitFor()
    assert.deepEqual(complaints, [])
  })
})

interface RealCluster {
  url: string
  credential: string
  /** Starts `worker-1`, also again. */
  startWorker: () => Promise<NodeProcess>
  /** Starts `edge-5` as another machine, without anything that would let it in. */
  startStranger: (t: TestContext) => Promise<NodeProcess>
}

/** A coordinator and two workers on this host; the second one goes by `startWorker`. */
async function startCluster(t: TestContext): Promise<RealCluster> {
  const home = makeHome(t)
  const port = await freePort()
  const file = home.config('coordinator-1', { port, bind_address: '127.0.0.1', coordinator_mode: true })
  const { url } = await startNode(t, file).ready()
  const workers = await Promise.all(
    ['worker-1', 'worker-2'].map(async (nodeId) =>
      home.config(nodeId, {
        port: await freePort(),
        bind_address: '127.0.0.1',
        coordinator_addresses: [`127.0.0.1:${port}`],
      }),
    ),
  )
  const start = async (file: string | undefined): Promise<NodeProcess> => {
    const node = startNode(t, file as string)
    await node.ready()
    return node
  }
  await start(workers[1])
  const operator = readFileSync(join(home.directory, 'data/coordinator-1/operator.json'), 'utf8')
  const { credential } = JSON.parse(operator) as { credential: string }
  const startStranger = async (t: TestContext): Promise<NodeProcess> => {
    const seeds = { port: await freePort(), bind_address: '127.0.0.1', coordinator_addresses: [`127.0.0.1:${port}`] }
    return startNode(t, makeHome(t).config('edge-5', seeds))
  }
  return { url, credential, startWorker: () => start(workers[0]), startStranger }
}

/** A node as the stub has it. */
function stubNode(nodeId: string): object {
  return {
    node_id: nodeId,
    address: '10.20.0.14',
    port: 8002,
    role: 'worker',
    services: {},
    addresses: ['10.20.0.14'],
    last_seen: new Date().toISOString(),
    metadata: { started_at: new Date().toISOString(), version: '3.0.0', cpus: 8, memory_bytes: 1, labels: {} },
  }
}
