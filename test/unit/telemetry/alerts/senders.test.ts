import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { systemClock } from '../../../../src/platform/index.ts'
import { alertMessage } from '../../../../src/telemetry/alerts/alert-message.ts'
import { alertSenders } from '../../../../src/telemetry/alerts/send/alert-senders.ts'
import { createEmail } from '../../../../src/telemetry/alerts/send/email.ts'
import { createScript } from '../../../../src/telemetry/alerts/send/script.ts'
import { createWebhook, signature } from '../../../../src/telemetry/alerts/send/webhook.ts'
import { createTestAuthority } from '../../transport/certificates.ts'
import { SILENCE, smtpServer } from './smtp-server.ts'

const ALERT = {
  id: 'service/hello',
  rule: 'service',
  severity: 'error',
  title: 'Service hello fails\r\nBcc: all@example.org on w1',
  detail: 'it ended with exit code 1: "; rm -rf / $(id)',
  remedy: 'Read its log.',
  nodeId: 'w1',
  service: 'hello',
  sinceMs: 1_770_000_000_000,
} as const
const MESSAGE = alertMessage('fired', ALERT, { cluster: 'c1', delivery: 'd1', nowMs: 1_770_000_060_000 })
const soon = (): AbortSignal => AbortSignal.timeout(10_000)
const clock = { ...systemClock, wallMs: () => 1_770_000_060_000 }

async function webServer(
  t: TestContext,
  handler: (request: IncomingMessage & { body: string }, response: ServerResponse) => void,
) {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => handler(Object.assign(request, { body: Buffer.concat(chunks).toString() }), response))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('a webhook', () => {
  test('gets the message as JSON, signed, once', async (t) => {
    const got: { headers: IncomingMessage['headers']; body: string }[] = []
    const url = await webServer(t, ({ headers, body }, response) => {
      got.push({ headers, body })
      response.writeHead(204).end()
    })
    await createWebhook({ clock }, { url: `${url}/hook?token=secret`, secret: 'key' }).send(MESSAGE, soon())
    const [request] = got
    assert.deepEqual(JSON.parse(request?.body ?? ''), JSON.parse(JSON.stringify(MESSAGE)))
    assert.equal(request?.headers['content-type'], 'application/json')
    assert.equal(request?.headers['p2p-delivery'], 'd1')
    assert.equal(
      request?.headers['p2p-signature'],
      `t=1770000060,v1=${signature('key', 1_770_000_060, request?.body ?? '')}`,
    )
    assert.equal(got.length, 1)
    await createWebhook({ clock }, { url }).send(MESSAGE, soon())
    assert.equal(got[1]?.headers['p2p-signature'], undefined)
  })

  test('the signature is the one that others compute', () => {
    assert.equal(signature('key', 1, '{}'), '1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224')
    assert.notEqual(signature('key', 1, '{}'), signature('key', 2, '{}'))
    assert.notEqual(signature('key', 1, '{}'), signature('other', 1, '{}'))
  })

  for (const status of [301, 400, 404, 500, 503]) {
    test(`that answers ${status} has not taken it, and is not followed elsewhere; its secret path is not told`, async (t) => {
      let requests = 0
      const url = await webServer(t, (_request, response) => {
        requests++
        response.writeHead(status, { location: '/elsewhere' }).end('x'.repeat(1_000))
      })
      await assert.rejects(
        createWebhook({ clock }, { url: `${url}/secret-path` }).send(MESSAGE, soon()),
        (error: Error) => {
          assert.match(error.message, new RegExp(`answered ${status}$`))
          assert.doesNotMatch(error.message, /secret-path/)
          return true
        },
      )
      assert.equal(requests, 1)
    })
  }

  test('whose answer has no end is cut off: it took the message', async (t) => {
    let sent = 0
    const url = await webServer(t, (_request, response) => {
      response.writeHead(200)
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536
      }
      response.on('drain', more)
      more()
    })
    await createWebhook({ clock }, { url }).send(MESSAGE, soon())
    assert.ok(sent < 50_000_000)
  })

  test('that hangs is let go with the signal; one that is gone or hangs up is a failure', async (t) => {
    const arrived = Promise.withResolvers<void>()
    const hanging = await webServer(t, () => arrived.resolve())
    const aborting = new AbortController()
    const sending = createWebhook({ clock }, { url: hanging }).send(MESSAGE, aborting.signal)
    await arrived.promise
    aborting.abort(new Error('no answer within 30 s'))
    await assert.rejects(sending, { message: 'no answer within 30 s' })
    const rude = await webServer(t, (request) => request.socket.destroy())
    await assert.rejects(createWebhook({ clock }, { url: rude }).send(MESSAGE, soon()), /hang up|ECONNRESET/)
    await assert.rejects(createWebhook({ clock }, { url: 'http://127.0.0.1:1/' }).send(MESSAGE, soon()), /ECONNREFUSED/)
  })
})

describe('an e-mail', () => {
  const options = {
    host: '127.0.0.1',
    security: 'none',
    from: 'p2p@example.org',
    to: ['a@example.org', 'b@example.org'],
  } as const

  test('reaches all, in plain words, whatever a service wrote into its subject', async (t) => {
    const { port, mails } = await smtpServer(t)
    await createEmail({ ...options, port, user: 'p2p', password: 'pass' }).send(MESSAGE, soon())
    const [mail] = mails
    assert.deepEqual(mail?.to, ['a@example.org', 'b@example.org'])
    assert.equal(mail?.auth, '\0p2p\0pass')
    assert.match(mail?.from ?? '', /<p2p@example\.org>/)
    const body = mail?.text ?? ''
    const head = body.split('\n\n')[0] as string
    assert.match(head, /^Subject: \[p2p c1\] ALERT: Service hello fails Bcc: all@example\.org on w1$/m)
    assert.doesNotMatch(head, /^Bcc:/m)
    assert.match(head, /^Auto-Submitted: auto-generated$/m)
    assert.match(body, /What to do: Read its log\./)
  })

  test('that the server refuses, at any point, is a failure without the password', async (t) => {
    for (const [command, answer] of [
      ['greeting', '554 no'],
      ['AUTH', '535 wrong'],
      ['RCPT', '550 nobody'],
      ['DATA', '451 later'],
    ] as const) {
      const { port, mails } = await smtpServer(t, (line) => (line.startsWith(command) ? answer : undefined))
      await assert.rejects(
        createEmail({ ...options, port, user: 'p2p', password: 'hidden-pass' }).send(MESSAGE, soon()),
        (error: Error) => {
          assert.doesNotMatch(error.message, /hidden-pass/)
          return true
        },
      )
      assert.equal(mails.length, 0, command)
    }
  })

  test('to a server that says nothing is let go with the signal', async (t) => {
    const said = Promise.withResolvers<void>()
    const { port } = await smtpServer(t, (line) => {
      if (line !== 'greeting') said.resolve()
      return line === 'greeting' ? undefined : SILENCE
    })
    const aborting = new AbortController()
    const sending = createEmail({ ...options, port }).send(MESSAGE, aborting.signal)
    await said.promise
    aborting.abort(new Error('no answer within 30 s'))
    await assert.rejects(sending, { message: 'no answer within 30 s' })
  })

  for (const mode of ['tls', 'starttls'] as const) {
    test(`is sent by ${mode}: name and password only once it is encrypted`, async (t) => {
      const authority = await createTestAuthority()
      const { keyPem: key, certificateChainPem: cert } = await authority.issue({ nodeId: 'mail' })
      const { port, mails, commands } = await smtpServer(t, undefined, { mode, key, cert })
      const secure = { ...options, security: mode, port, user: 'u', password: 'p', ca: authority.trustPem }
      await createEmail(secure).send(MESSAGE, soon())
      assert.deepEqual(mails[0]?.to, ['a@example.org', 'b@example.org'])
      assert.equal(mails[0]?.auth, '\0u\0p')
      const plain = commands.filter((line) => !line.startsWith('TLS ')).map((line) => line.slice(0, 8))
      assert.deepEqual(plain, mode === 'tls' ? [] : ['EHLO [12', 'STARTTLS'])
    })

    test(`is not sent by ${mode} to a server whose certificate is not trusted or is another's`, async (t) => {
      const authority = await createTestAuthority()
      const { keyPem: key, certificateChainPem: cert } = await authority.issue({
        nodeId: 'mail',
        names: [{ type: 'dns', value: 'other.example' }],
      })
      const { port, mails, commands } = await smtpServer(t, undefined, { mode, key, cert })
      const secure = { ...options, security: mode, port, user: 'u', password: 'p' }
      await assert.rejects(createEmail(secure).send(MESSAGE, soon()), /certificate/)
      const isKnown = { ...secure, ca: authority.trustPem }
      await assert.rejects(createEmail(isKnown).send(MESSAGE, soon()), /altnames/)
      assert.equal(mails.length, 0)
      assert.ok(!commands.some((line) => line.includes('AUTH')))
    })
  }

  test('is not sent unencrypted where TLS is asked for', async (t) => {
    const { port, mails, commands } = await smtpServer(t)
    await assert.rejects(
      createEmail({ ...options, security: 'starttls', port, user: 'u', password: 'p' }).send(MESSAGE, soon()),
    )
    assert.equal(mails.length, 0)
    assert.ok(!commands.some((line) => line.startsWith('AUTH')))
  })
})

/** Another process does it; what it never does ends the test. */
async function until(holds: () => boolean): Promise<void> {
  const limit = soon()
  while (!holds()) {
    limit.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function script(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'p2p-alert-'))
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const path = join(folder, 'on alert.sh')
  writeFileSync(path, `#!/bin/sh\n${text}\n`)
  chmodSync(path, 0o755)
  return path
}

describe('a script', () => {
  test('gets the facts on its standard input, nothing in its arguments, and no environment', async (t) => {
    process.env.P2P_SMTP_PASSWORD = 'hidden'
    t.after(() => delete process.env.P2P_SMTP_PASSWORD)
    const path = script(t, 'cd "$(dirname "$0")" && cat > stdin && env > env && printf "%s" "$#" > count')
    await createScript({ path }).send(MESSAGE, soon())
    const read = (name: string): string => readFileSync(join(path, '..', name), 'utf8')
    assert.deepEqual(JSON.parse(read('stdin')), JSON.parse(JSON.stringify(MESSAGE)))
    assert.equal(read('count'), '0')
    assert.doesNotMatch(read('env'), /hidden|P2P_/)
  })

  test('that fails, cannot be run, or reads nothing', async (t) => {
    await assert.rejects(
      createScript({ path: script(t, 'echo "no way" >&2; exit 3') }).send(MESSAGE, soon()),
      /ended with exit code 3: no way$/,
    )
    await assert.rejects(createScript({ path: '/nonexistent/script' }).send(MESSAGE, soon()), /ENOENT/)
    await createScript({ path: script(t, 'exit 0') }).send(MESSAGE, soon())
    await assert.rejects(
      createScript({ path: script(t, 'head -c 10000000 /dev/zero >&2; exit 1') }).send(MESSAGE, soon()),
      (error: Error) => error.message.length < 700,
    )
  })

  test('that does not end is killed with all it started', async (t) => {
    const path = script(t, 'cd "$(dirname "$0")"; sleep 100 & echo $! > child; wait')
    const aborting = new AbortController()
    const sending = createScript({ path }).send(MESSAGE, aborting.signal)
    const file = join(path, '..', 'child')
    await until(() => existsSync(file) && readFileSync(file, 'utf8').trim() !== '')
    const child = Number(readFileSync(file, 'utf8'))
    aborting.abort(new Error('too long'))
    await assert.rejects(sending, { message: 'too long' })
    // A killed process that nobody has waited for yet is still listed: as a zombie.
    const state = (): string => {
      try {
        return /\) (\w)/.exec(readFileSync(`/proc/${child}/stat`, 'utf8'))?.[1] ?? 'gone'
      } catch {
        return 'gone'
      }
    }
    if (process.platform === 'linux') await until(() => ['gone', 'Z', 'X'].includes(state()))
  })
})

test('targets have names of their own, without what is secret in them', () => {
  const senders = alertSenders(systemClock, {
    webhooks: [
      { url: 'https://a.example/x?token=1' },
      { url: 'https://a.example/y' },
      { url: 'https://b.example:8443/' },
    ],
    email: { host: 'mail.example', port: 25, security: 'none', from: 'a@b.c', to: ['d@e.f'] },
    script: '/etc/p2p/on-alert',
  })
  assert.deepEqual(
    senders.map(({ name }) => name),
    ['webhook a.example', 'webhook a.example 2', 'webhook b.example:8443', 'e-mail mail.example', 'script on-alert'],
  )
})
