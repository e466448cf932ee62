import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { chromium } from 'playwright-core'
import { CLIENT, startProvider } from '../unit/service/auth/stub-provider.ts'
import { type ApiRequest, callApi } from '../../src/cli/session/api-client.ts'
import { codeOf } from '../../src/base/errors.ts'
import { BROWSER_FLAGS, chromiumPath } from './support/browser.ts'
import { ask as askNode, signIn } from './support/node-api.ts'
import { isLeftOut } from './support/left-out.ts'
import { eventually, freePort, makeHome, p2p, startNode } from './support/node-process.ts'

const PASSWORD = 'correct horse battery staple'

test('people come in by invitation, are known at every node, and are out everywhere once they are removed', async (t) => {
  const home = makeHome(t)
  const port = await freePort()
  const file = home.config('coordinator-1', { port, bind_address: '127.0.0.1', coordinator_mode: true })
  let coordinator = startNode(t, file)
  const { operatorFile = '' } = await coordinator.ready()
  const worker = startNode(
    t,
    home.config('worker-1', {
      port: await freePort(),
      bind_address: '127.0.0.1',
      coordinator_addresses: [`127.0.0.1:${port}`],
    }),
  )
  const { url: workerUrl } = await worker.ready()
  const { url, ca_certificate: caCertificate } = JSON.parse(readFileSync(operatorFile, 'utf8')) as {
    url: string
    ca_certificate: string
  }
  /** The status or refusal of a node. */
  const ask = async (at: string, call: ApiRequest, accessToken?: string): Promise<unknown> =>
    callApi({ url: at, caCertificate, accessToken }, call)
  const refusal = (at: string, call: ApiRequest, accessToken?: string) =>
    ask(at, call, accessToken).then(
      () => 'none',
      (error: unknown) => codeOf(error),
    )
  const status: ApiRequest = { method: 'GET', path: '/api/status' }
  const run = (...args: string[]) => p2p(args, { cwd: home.directory, env: { P2P_USER_PASSWORD: PASSWORD } })
  const profile = (name: string) =>
    (
      JSON.parse(readFileSync(join(home.directory, 'xdg/p2p/login.json'), 'utf8')) as {
        profiles: Record<string, { access_token: string }>
      }
    ).profiles[name]?.access_token as string

  const operator = ['--profile', 'boss']
  assert.equal((await run('login', '--credential-file', operatorFile, ...operator)).code, 0)
  const added = await run('users', 'add', 'ada', '--role', 'operator', ...operator)
  assert.equal(added.code, 0, added.stderr)
  const [, secret] = /^https:\/\/[^#]+\/dashboard#invitation=([\w-]{43})\n$/.exec(added.stdout) ?? []
  assert.ok(secret, added.stdout)
  await ask(url, { method: 'POST', path: '/auth/invitation', body: { secret, password: PASSWORD } })

  const ca = JSON.parse((await run('ca', 'show', '--output', 'json', ...operator)).stdout) as { ca_fingerprint: string }
  const wrongCa = await run('login', url, '--name', 'ada', '--fingerprint', '0'.repeat(64))
  assert.deepEqual([wrongCa.code, /another fingerprint/.test(wrongCa.stderr)], [77, true], wrongCa.stderr)
  const login = await run('login', url, '--name', 'ada', '--fingerprint', ca.ca_fingerprint)
  assert.equal(login.code, 0, login.stderr)
  assert.match(login.stderr, /as ada, operator/)
  assert.match((await run('users', 'list')).stderr, /P2P_RPC_ACCESS_DENIED|is for admin/)
  const listed = await run('users', 'list', ...operator)
  assert.match(listed.stdout, /ada +operator +password +1/)

  const token = profile('default')
  await eventually(
    () => refusal(workerUrl, status, token),
    (code) => code === 'none',
  )
  const { refresh_token } = (await ask(url, {
    method: 'POST',
    path: '/auth/token',
    body: { name: 'ada', password: PASSWORD },
  })) as { refresh_token: string }

  await t.test(
    'a token that was withdrawn stays so when the coordinator is killed right behind the answer',
    async (t2) => {
      await ask(url, { method: 'POST', path: '/auth/refresh', body: { refresh_token } })
      await ask(url, { method: 'POST', path: '/auth/revoke' }, token)
      coordinator.kill('SIGKILL')
      await coordinator.exited
      coordinator = startNode(t, file)
      await coordinator.ready()
      assert.equal(await refusal(url, status, token), 'P2P_AUTH_TOKEN_REVOKED')
      const spent = { method: 'POST', path: '/auth/refresh', body: { refresh_token } } as const
      assert.equal(await refusal(url, spent), 'P2P_AUTH_TOKEN_REVOKED', 'what was traded stays traded')
      await eventually(
        () => refusal(workerUrl, status, token),
        (code) => code === 'P2P_AUTH_TOKEN_REVOKED',
      )
      t2.diagnostic('refused by coordinator and worker')
    },
  )

  await t.test('who is removed is out at the coordinator at once and at the workers within seconds', async () => {
    assert.equal((await run('login', '--name', 'ada')).code, 0)
    const again = profile('default')
    await eventually(
      () => refusal(workerUrl, status, again),
      (code) => code === 'none',
    )
    const removed = await run('users', 'remove', 'ada', '--yes', ...operator)
    assert.equal(removed.code, 0, removed.stderr)
    assert.equal(await refusal(url, status, again), 'P2P_AUTH_TOKEN_REVOKED')
    await eventually(
      () => refusal(workerUrl, status, again),
      (code) => code === 'P2P_AUTH_TOKEN_REVOKED',
    )
    assert.equal((await run('login', '--name', 'ada')).code, 77)
    assert.doesNotMatch(coordinator.output() + worker.output(), new RegExp(`${PASSWORD}|${secret}`))
  })
})

test('a browser signs in at an OpenID Connect provider of another site', { skip: isLeftOut('chromium') }, async (t) => {
  const provider = await startProvider(Date.now, 'localhost')
  t.after(() => provider[Symbol.asyncDispose]())
  const home = makeHome(t)
  const caFile = join(home.directory, 'provider-ca.pem')
  writeFileSync(caFile, provider.ca)
  const file = home.config('coordinator-1', {
    port: await freePort(),
    bind_address: '127.0.0.1',
    coordinator_mode: true,
    oidc: {
      issuer: provider.issuer,
      client_id: CLIENT.id,
      client_secret_name: 'oidc/client',
      roles: { devs: 'operator' },
      ca_file: caFile,
    },
  })
  const { url, operatorFile } = await startNode(t, file).ready()
  const admin = { ...(await signIn(url, operatorFile as string)), url }
  const set = { method: 'PUT', path: '/api/secrets/oidc%2Fclient', body: { value: CLIENT.secret } } as const
  assert.equal((await askNode(admin, set)).statusCode, 200)
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: BROWSER_FLAGS })
  t.after(() => browser.close())
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()
  await page.goto(`${url}/dashboard`)

  provider.claims = { preferred_username: 'ada', groups: ['others'] }
  await page.getByRole('link', { name: 'Log in with localhost' }).click()
  await page.getByRole('alert').filter({ hasText: 'gives you no role here' }).waitFor()
  assert.equal(new URL(page.url()).hash, '')

  provider.claims = { preferred_username: 'ada', groups: ['devs'] }
  await page.getByRole('link', { name: 'Log in with localhost' }).click()
  await page.getByRole('link', { name: 'oidc:ada' }).click()
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor()
  await page.reload()
  await page.getByRole('link', { name: 'oidc:ada' }).waitFor()
})

test('a browser makes a passkey and signs in with it; by an address it is told why not', {
  skip: isLeftOut('chromium'),
}, async (t) => {
  const home = makeHome(t)
  const port = await freePort()
  const file = home.config('coordinator-1', { port, bind_address: '127.0.0.1', coordinator_mode: true })
  await startNode(t, file).ready()
  const cwd = home.directory
  const env = { P2P_USER_PASSWORD: PASSWORD }
  const added = await p2p(['users', 'add', 'ada', '--role', 'operator', '--password'], { cwd, env })
  assert.equal(added.code, 0, added.stderr)
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: BROWSER_FLAGS })
  t.after(() => browser.close())
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  const page = await context.newPage()
  const devtools = await context.newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  })
  const logIn = async (): Promise<void> => {
    await page.getByLabel('Name').fill('ada')
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
    await page.getByRole('button', { name: 'Log in', exact: true }).click()
    await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor()
  }

  await page.goto(`https://127.0.0.1:${port}/dashboard/settings`)
  await logIn()
  await page.getByText('Passkeys belong to a name').waitFor()

  await page.goto(`https://localhost:${port}/dashboard/settings`)
  await logIn()
  await page.getByLabel('Name of the passkey').fill('Laptop')
  await page.getByLabel('Your password, for the passkey', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Add a passkey' }).click()
  await page.getByRole('region', { name: 'Passkeys' }).getByText('never').waitFor()
  await page.getByLabel('Log out').click()
  await page.getByRole('button', { name: 'Use a passkey' }).click()
  await page.getByRole('region', { name: 'Passkeys' }).getByText('localhost').waitFor()
  await page.getByRole('region', { name: 'Passkeys' }).getByText('never').waitFor({ state: 'detached' })

  await page.getByLabel('Your password', { exact: true }).fill(PASSWORD)
  await page.getByRole('button', { name: 'Set it up' }).click()
  await page.getByRole('img', { name: 'QR code for the authenticator program' }).waitFor()
  const record = await p2p(['audit', '--act', 'passkeys'], { cwd })
  assert.match(record.stdout, /person:ada.*POST \/auth\/passkeys/, record.stdout + record.stderr)
})
