import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { PkiError } from '../../../src/base/errors.ts'
import { LOG_LEVELS, type Logger, type LogLevel } from '../../../src/base/log.ts'
import { createLogger, type LogEntry, type LoggerOptions } from '../../../src/platform/index.ts'

/** A logger whose lines and entries are kept. */
function recording(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = []
  const entries: LogEntry[] = []
  const log = createLogger({
    level: 'DEBUG',
    format: 'text',
    destination: { write: (line) => lines.push(line) },
    sinks: [(entry) => entries.push(entry)],
    ...options,
  })
  return { log, lines, entries }
}

const METHODS: Record<LogLevel, keyof Logger> = {
  DEBUG: 'debug',
  INFO: 'info',
  WARNING: 'warning',
  ERROR: 'error',
  CRITICAL: 'critical',
}

function logAt(log: Logger, level: LogLevel, message: string): void {
  const method = METHODS[level] as 'debug'
  log[method](message)
}

test('a line has the form that the README shows', () => {
  const { log, lines } = recording()
  log
    .child('Gossip')
    .info('Member joined', { nodeId: 'worker-1', addresses: ['10.0.0.1:8002'], note: 'two words', n: 3 })
  assert.match(
    lines.join(''),
    /^\d\d:\d\d:\d\d \| INFO {5}\| Gossip {15}\| Member joined nodeId=worker-1 addresses=\["10\.0\.0\.1:8002"\] note="two words" n=3\n$/,
  )
})

test('each level writes itself and what is graver, under its own name', () => {
  for (const [index, level] of LOG_LEVELS.entries()) {
    const { log, lines, entries } = recording({ level })
    for (const each of LOG_LEVELS) logAt(log, each, 'x')
    assert.deepEqual(
      entries.map((entry) => entry.level),
      LOG_LEVELS.slice(index),
    )
    assert.equal(lines.length, LOG_LEVELS.length - index)
  }
})

test('JSON lines carry time, level, logger, message and fields, one object each', () => {
  const { log, lines } = recording({ format: 'json' })
  log.child('Gossip').warning('Say "hi"', { msg: 'a field', level: 7, time: null })
  const line = JSON.parse(lines.join('')) as Record<string, unknown>
  assert.ok(Math.abs(Date.parse(line.time as string) - Date.now()) < 60_000)
  assert.deepEqual(
    { ...line, time: undefined },
    {
      time: undefined,
      level: 'WARNING',
      logger: 'Gossip',
      msg: 'Say "hi"',
      fields: { msg: 'a field', level: 7, time: null },
    },
  )
})

test('sinks get the same entries as plain data, in JSON and in text', () => {
  for (const format of ['json', 'text'] as const) {
    const { log, entries } = recording({ format })
    log.info('One', { a: [1, { b: 2 }] })
    log.child('X').error('Two')
    assert.deepEqual(
      entries.map(({ level, logger, message, fields }) => ({ level, logger, message, fields })),
      [
        { level: 'INFO', logger: 'p2p', message: 'One', fields: { a: [1, { b: 2 }] } },
        { level: 'ERROR', logger: 'X', message: 'Two', fields: {} },
      ],
    )
    assert.ok(entries.every(({ timeMs }) => Math.abs(timeMs - Date.now()) < 60_000))
  }
})

test('nothing that is logged can forge a second line or disguise its own', () => {
  const forged = '\n12:00:00 | CRITICAL | p2p | all is lost\r\u001b[2K\u2028\u202e\u0085\u007f'
  for (const format of ['json', 'text'] as const) {
    const { log, lines } = recording({ format })
    log.child(`name${forged}`).error(`message${forged}`, {
      [`field${forged}`]: `value${forged}`,
      list: [forged],
      error: new PkiError('P2P_PKI_REVOKED', `error${forged}`),
    })
    const text = lines.join('')
    assert.equal(text.split('\n').length, 2, text)
    assert.doesNotMatch(text.trimEnd(), /\p{Cc}/u)
    assert.ok(text.includes('\\n12:00:00'))
  }
  const { log, lines } = recording()
  log.error('x', { error: new Error(`error${forged}`), nested: { deep: forged } })
  for (const line of lines.join('').trimEnd().split('\n').slice(1)) assert.match(line, /^ {4}at /)
  assert.doesNotMatch(lines.join(''), /[\u202e\u2028]|[^\P{Cc}\n]/u)
})

test('printf directives in a message stay what they are', () => {
  const { log, entries } = recording()
  log.info('100 %s %d %j %% %o', { a: 1 })
  assert.equal(entries[0]?.message, '100 %s %d %j %% %o')
})

test('values under secret-looking names are replaced, at any depth; what only speaks of secrets is not', () => {
  const { log, lines, entries } = recording()
  const secret = 'kirschbaum'
  log.info('x', {
    password: secret,
    PASSPHRASE: secret,
    dbPasswd: secret,
    joinToken: secret,
    client_secret: secret,
    Authorization: `Basic ${secret}`,
    'set-cookie': [secret],
    apiKey: secret,
    'api-key': secret,
    privateKey: { d: secret },
    nested: [{ deeper: { masterKey: Buffer.from(secret), session_key: secret } }],
    credentials: new Map([['user', secret]]),
    // Words that only end like a harmless one.
    secretItems: secret,
    password_void: secret,
    error: new PkiError('P2P_PKI_TOKEN_INVALID', 'no', { token: secret }),
  })
  assert.doesNotMatch(lines.join('') + JSON.stringify(entries), /kirschbaum/)
  log.info('x', {
    tokenId: 'seen-1',
    tokens: 3,
    passwordFile: 'seen-2',
    secretCount: 4,
    key: 'seen-3',
    publicKey: 'seen-4',
  })
  const fields = JSON.stringify(entries[1]?.fields)
  for (const shown of ['seen-1', 'seen-2', 'seen-3', 'seen-4', '"tokens":3', '"secretCount":4']) {
    assert.ok(fields.includes(shown), `${shown} in ${fields}`)
  }
})

test('secrets are recognised by their shape, in messages, fields and errors', () => {
  const pem = '-----BEGIN EC PRIVATE KEY-----\nkirschbaum\n-----END EC PRIVATE KEY-----'
  const jwt = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJraXJzY2giLCJhIjoxfQ.kirschbaum-sig'
  const url = 'redis://:kirschbaum@cache:6379/0'
  const join = 'P2P1-0a1b2c-kirschbaum'
  const { log, lines, entries } = recording()
  const operator = 'P2PO1-kirschbaumkirschbaumkirschbaumkirschbaumkir'
  const refresh = 'P2PR1-c2Vzc2lvbnNlc3Npb24xMg.kirschbaumkirschbaumkirschbaumkirschbaumkir'
  const link = 'https://n1:8001/dashboard#login=kirschbaum'
  const invitation = 'https://n1:8001/dashboard#invitation=kirschbaum'
  for (const secret of [pem, jwt, url, join, operator, refresh, link, invitation]) {
    log.error(`Got ${secret} here`, { note: `see ${secret}`, error: new Error(secret), list: [[secret]] })
  }
  log.error('unfinished -----BEGIN PRIVATE KEY-----\nkirschbaum')
  log.error('Recovery key P2PR-BAEV-EJ1E-NGJK-CHDC-GZQV-YQP3-5G1H-61PE-FX16')
  assert.doesNotMatch(lines.join(''), /BAEV/)
  assert.doesNotMatch(lines.join('') + JSON.stringify(entries), /kirschbaum/)
  assert.ok(entries[2]?.message.includes('cache:6379/0'), 'what is not secret stays')
  assert.ok(entries[3]?.message.includes('P2P1-0a1b2c-'))
})

test('our own errors are told in one line, unexpected ones with their stack and cause', () => {
  const { log, lines, entries } = recording()
  log.error('x', { error: new PkiError('P2P_PKI_REVOKED', 'gone', { serial: '0a' }) })
  assert.match(lines[0] as string, / x error="P2P_PKI_REVOKED: gone"\n$/)
  assert.deepEqual(entries[0]?.fields.error, {
    name: 'PkiError',
    message: 'gone',
    code: 'P2P_PKI_REVOKED',
    details: { serial: '0a' },
  })
  log.error('y', { error: new TypeError('broken', { cause: new RangeError('deep') }) })
  assert.match(lines[1] as string, / y error="broken: deep"\n {4}at .*logger\.test\.ts/)
  const { cause } = (entries[1] as LogEntry).fields.error as { cause: { name: string; message: string } }
  assert.deepEqual([cause.name, cause.message], ['RangeError', 'deep'])
  log.error('z', { error: new AggregateError([new Error('one'), new Error('two')], 'both') })
  const { errors } = (entries[2] as LogEntry).fields.error as { errors: { message: string }[] }
  assert.deepEqual(
    errors.map(({ message }) => message),
    ['one', 'two'],
  )
})

test('nothing that is logged makes logging throw, or grows without bound', () => {
  const { log, lines, entries } = recording()
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  const hostile = {
    get boom() {
      throw new Error('no')
    },
    toJSON() {
      throw new Error('no')
    },
  }
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const brokenError = new Error('x')
  Object.defineProperty(brokenError, 'message', {
    get() {
      throw new Error('no')
    },
  })
  const values = [
    cycle,
    hostile,
    revoked.proxy,
    brokenError,
    1n,
    Symbol('s'),
    () => {},
    Number.NaN,
    new Date(Number.NaN),
  ]
  for (const value of values) {
    log.info('x', { value })
    log.info('y', value as Record<string, unknown>)
  }
  assert.equal(entries.length, 2 * values.length)
  let deep: unknown = 1
  for (let level = 0; level < 10_000; level++) deep = [deep]
  const wide = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`f${index}`, index]))
  log.info('z'.repeat(1_000_000), {
    deep,
    wide,
    list: Array.from({ length: 100_000 }, () => 1),
    text: 'z'.repeat(1_000_000),
  })
  assert.ok((lines.at(-1) as string).length < 20_000, String(lines.at(-1)?.length))
  const shown = entries.at(-1)?.fields ?? {}
  assert.deepEqual(shown.deep, [[[['[too deep]']]]])
  assert.equal((shown.list as unknown[]).length, 101)
  assert.equal(Object.keys(shown.wide as object).length, 65)
  log.info('x', { __proto__: null, constructor: 1 })
  log.info(undefined as unknown as string)
  assert.deepEqual(entries.at(-2)?.fields, { constructor: 1 })
})

test('a sink that throws is reported once and keeps nobody from the entry', () => {
  const others: string[] = []
  const failing = (): void => {
    throw new Error('sink is broken')
  }
  const { log, lines } = recording({ sinks: [failing, ({ message }) => others.push(message)] })
  log.info('one')
  log.info('two')
  assert.deepEqual(others, ['one', 'two'])
  assert.equal(lines.filter((line) => line.includes('A log sink failed error="sink is broken"')).length, 1)
})

test('what a sink logs is written but not given to the sinks: no storm', () => {
  const seen: string[] = []
  const { log, lines } = recording({
    sinks: [
      ({ message }) => {
        seen.push(message)
        log.debug('stored')
      },
    ],
  })
  log.info('one')
  log.info('two')
  assert.deepEqual(seen, ['one', 'two'])
  assert.equal(lines.filter((line) => line.includes('stored')).length, 2)
})

test('a destination that throws is survived, and the sinks still get the entry', () => {
  const { log, entries } = recording({
    destination: {
      write: () => {
        throw new Error('disk full')
      },
    },
  })
  log.info('one')
  assert.equal(entries.length, 1)
})

const LOGGING_PROGRAM = `
  import { createLogger } from ${JSON.stringify(import.meta.resolve('../../../src/platform/index.ts'))}
  const log = createLogger({ level: 'INFO', format: 'text' })
  for (let index = 0; index < 5000; index++) log.info('line', { index })
`

test('standard output is the default, and every line is out before a crash', () => {
  const program = `${LOGGING_PROGRAM}; process.kill(process.pid, 'SIGKILL')`
  const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  })
  assert.equal(signal, 'SIGKILL')
  assert.equal(stdout.trimEnd().split('\n').length, 5_000)
  assert.match(stdout, / index=4999\n$/)
})

test('a reader that goes away does not end the program', async () => {
  const program = `${LOGGING_PROGRAM}; process.exitCode = 7`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.once('data', () => child.stdout.destroy())
  const [code] = (await once(child, 'exit')) as [number]
  assert.equal(code, 7)
})
