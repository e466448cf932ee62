import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { isLeftOut } from './support/left-out.ts'
import { makeHosts, type TestHost } from './support/namespaces.ts'
import { eventually, makeHome, p2p, startNode } from './support/node-process.ts'

const run = promisify(execFile)
const NAME = 'www.corp.test'
const reason = (...parts: string[]): string | false => {
  const missing = parts.filter(isLeftOut)
  return missing.length > 0 && `left out: ${missing.join(', ')}`
}

/** A coordinator on one host and, on another, the machine that `www.corp.test` leads to, where a stock client runs. */
async function startCluster(t: TestContext) {
  const [first, second] = makeHosts(t, 2) as [TestHost, TestHost]
  for (const host of [first, second]) {
    // What `ip netns exec` shows as /etc/hosts.
    const directory = join('/etc/netns', host.name)
    mkdirSync(directory, { recursive: true })
    t.after(() => rmSync(directory, { recursive: true, force: true }))
    writeFileSync(join(directory, 'hosts'), `127.0.0.1 localhost\n${second.address} ${NAME}\n`)
  }
  const home = makeHome(t)
  const cwd = home.directory
  const config = home.config('coordinator-1', { port: 8001, coordinator_mode: true })
  const node = startNode(t, config, { prefix: first.prefix })
  const { operatorFile } = await node.ready()
  const caFile = join(cwd, 'ca.pem')
  const operator = JSON.parse(readFileSync(operatorFile as string, 'utf8')) as { ca_certificate: string }
  writeFileSync(caFile, operator.ca_certificate)
  const directory = `https://${first.address}:8001/acme/directory`
  const on = (host: TestHost) => ({ cwd, prefix: host.prefix })
  const login = await p2p(['login'], on(first))
  assert.equal(login.code, 0, login.stderr)
  const credential = async (...names: string[]) => {
    const args = ['acme', 'create', 'test', ...names.flatMap((name) => ['--name', name]), '--output', 'json']
    const { code, stdout, stderr } = await p2p(args, on(first))
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as { hmac_key: string; facts: { kid: string } }
  }
  const serials = async (): Promise<{ serial: string; revoked_at_ms?: number }[]> => {
    const { stdout } = await p2p(['ca', 'show', '--output', 'json'], on(first))
    const { issued } = JSON.parse(stdout) as { issued: { serial: string; role: string; revoked_at_ms?: number }[] }
    return issued.filter(({ role }) => role === 'server')
  }
  return { client: second, cwd, caFile, directory, credential, serials, on, coordinator: first }
}

/** Runs a program on the host; its failure is an answer. */
async function runOn(host: TestHost, ...command: string[]): Promise<{ ok: boolean; text: string }> {
  const [program, ...args] = [...host.prefix, ...command]
  return run(program as string, args).then(
    ({ stdout, stderr }) => ({ ok: true, text: stdout + stderr }),
    (error: { stdout: string; stderr: string }) => ({ ok: false, text: error.stdout + error.stderr }),
  )
}

/** A web server on port 80 of the host that serves a folder. */
async function serveFolder(t: TestContext, host: TestHost, folder: string): Promise<void> {
  const program = `
    const { createServer } = require('node:http'), { readFileSync } = require('node:fs'), { basename, join } = require('node:path')
    createServer((request, response) => {
      try { response.end(readFileSync(join(${JSON.stringify(folder)}, basename(request.url)))) } catch { response.writeHead(404).end() }
    }).listen(80, () => console.log('listening'))`
  const [command, ...args] = [...host.prefix, process.execPath, '-e', program]
  const server = spawn(command as string, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(async () => {
    server.kill('SIGKILL')
    await once(server, 'exit')
  })
  await once(server.stdout, 'data')
}

const verify = async (cwd: string, leaf: string, chain: string, ...more: string[]) =>
  run(
    'openssl',
    ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', NAME, ...more].concat([
      '-CAfile',
      join(cwd, 'ca.pem'),
      '-untrusted',
      chain,
      leaf,
    ]),
  )

suite('stock ACME clients', () => {
  test('lego gets, renews and revokes a certificate by http-01 and tls-alpn-01, and is refused without a credential', {
    skip: reason('network namespaces', 'lego', 'openssl', 'curl'),
  }, async (t) => {
    const { client, cwd, caFile, directory, credential, serials, on, coordinator } = await startCluster(t)
    const { hmac_key: hmac, facts } = await credential(NAME)
    const lego = async (...args: string[]) => {
      const startedMs = performance.now()
      const common = ['--server', directory, '--accept-tos', '--email', 'ops@corp.test', '--path', join(cwd, 'lego')]
      const ended = await runOn(
        client,
        'env',
        `LEGO_CA_CERTIFICATES=${caFile}`,
        'lego',
        ...common,
        '--domains',
        NAME,
        ...args,
      )
      const command = args.findLast((arg) => ['run', 'renew', 'revoke'].includes(arg))
      t.diagnostic(`lego ${command}: ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`)
      return ended
    }
    const bound = ['--eab', '--kid', facts.kid, '--hmac', hmac]
    const refused = await lego('--http', 'run')
    assert.ok(!refused.ok)
    assert.match(refused.text, /External Account Binding/)
    const issued = await lego(...bound, '--http', 'run')
    assert.ok(issued.ok, issued.text)
    const leaf = join(cwd, 'lego/certificates', `${NAME}.crt`)
    const chain = join(cwd, 'lego/certificates', `${NAME}.issuer.crt`)
    await verify(cwd, leaf, chain)
    const first = readFileSync(leaf, 'utf8')
    const renewed = await lego(...bound, '--tls', 'renew', '--days', '9999', '--no-random-sleep')
    assert.ok(renewed.ok, renewed.text)
    assert.notEqual(readFileSync(leaf, 'utf8'), first)
    await verify(cwd, leaf, chain)
    const kept = join(cwd, 'renewed.crt')
    writeFileSync(kept, readFileSync(leaf))
    const chainKept = join(cwd, 'chain.crt')
    writeFileSync(chainKept, readFileSync(chain))
    const revoked = await lego(...bound, 'revoke')
    assert.ok(revoked.ok, revoked.text)
    assert.deepEqual(
      (await serials()).map(({ revoked_at_ms: at }) => at !== undefined),
      [false, true],
    )
    const crl = join(cwd, 'crl.der')
    const list = directory.replace('/acme/directory', '/internal/crl')
    assert.ok((await runOn(client, 'curl', '-sS', '--cacert', caFile, '-o', crl, list)).ok)
    await assert.rejects(verify(cwd, kept, chainKept, '-crl_check', '-CRLfile', crl), /revoked/)
    const other = await p2p(['acme', 'list', '--output', 'json'], on(coordinator))
    assert.equal((JSON.parse(other.stdout) as { uses_left: number }[])[0]?.uses_left, 0)
  })

  test('dehydrated gets, renews and revokes a certificate', {
    skip: reason('network namespaces', 'dehydrated', 'openssl', 'curl'),
  }, async (t) => {
    const { client, cwd, caFile, directory, credential, serials } = await startCluster(t)
    const { hmac_key: hmac, facts } = await credential()
    const base = join(cwd, 'dehydrated')
    const wellKnown = join(base, 'challenges')
    mkdirSync(wellKnown, { recursive: true })
    await serveFolder(t, client, wellKnown)
    const settings = {
      CA: directory,
      BASEDIR: base,
      WELLKNOWN: wellKnown,
      CURL_OPTS: `--cacert ${caFile}`,
      EAB_KID: facts.kid,
      EAB_HMAC_KEY: hmac,
      CONTACT_EMAIL: 'ops@corp.test',
      ACCOUNT_KEYSIZE: '2048',
      KEY_ALGO: 'prime256v1',
    }
    const file = join(base, 'config')
    writeFileSync(
      file,
      Object.entries(settings)
        .map(([key, value]) => `${key}="${value}"\n`)
        .join(''),
    )
    const dehydrated = async (...args: string[]): Promise<void> => {
      const { ok, text } = await runOn(client, 'dehydrated', '--config', file, ...args)
      assert.ok(ok, text)
    }
    await dehydrated('--register', '--accept-terms')
    await dehydrated('--cron', '--domain', NAME)
    const folder = join(base, 'certs', NAME)
    await verify(cwd, join(folder, 'cert.pem'), join(folder, 'chain.pem'))
    await dehydrated('--cron', '--force', '--domain', NAME)
    assert.equal(readdirSync(folder).filter((name) => /^cert-\d+\.pem$/.test(name)).length, 2)
    await dehydrated('--revoke', join(folder, 'cert.pem'))
    const states = await eventually(serials, (all) => all.length === 2)
    assert.deepEqual(
      states.map(({ revoked_at_ms: at }) => at !== undefined),
      [false, true],
    )
  })
})
