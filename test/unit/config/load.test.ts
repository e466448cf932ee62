import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { type ConfigError, codeOf } from '../../../src/base/errors.ts'
import { type ConfigSources, loadConfig, type NodeConfig, secretsFrom } from '../../../src/config/index.ts'
import { README_COORDINATOR, README_WORKER } from './readme-samples.ts'

const root = resolve(import.meta.dirname, '../../..')
const home = resolve('/srv/p2p')

function load(text: string, more: Partial<ConfigSources> = {}): NodeConfig {
  return loadConfig({ file: 'config/node.yaml', text, workingDirectory: home, ...more })
}

/** The refusal of `text`, its message split into lines. */
function refusal(text: string, more: Partial<ConfigSources> = {}): { code: string | undefined; lines: string[] } {
  try {
    load(text, more)
  } catch (error) {
    return { code: codeOf(error), lines: (error as ConfigError).message.split('\n') }
  }
  return assert.fail(`accepted: ${text}`)
}

const COORDINATOR = 'coordinator_mode: true\n'

test('the two files of the README are accepted as written, and are the samples in config/', () => {
  for (const [name, text] of [
    ['coordinator', README_COORDINATOR],
    ['worker', README_WORKER],
  ] as const) {
    assert.equal(readFileSync(join(root, 'config', `${name}.yaml`), 'utf8'), text)
    const config = loadConfig({ file: join(root, 'config', `${name}.yaml`) })
    assert.equal(config.nodeId, `${name}-1`)
    assert.equal(config.role, name)
    assert.equal(config.stateDirectory, join(root, 'data', name))
  }
})

test('the README coordinator gives the promised settings, in units', () => {
  assert.deepEqual(load(README_COORDINATOR), {
    file: 'config/node.yaml',
    homeDirectory: home,
    nodeId: 'coordinator-1',
    role: 'coordinator',
    bindAddress: '0.0.0.0',
    port: 8001,
    advertiseAddress: undefined,
    interfaceKinds: {},
    labels: {},
    coordinatorAddresses: [],
    securityProfile: 'standard',
    certificateEntries: {
      certificate: 'coordinator_cert.cer',
      key: 'coordinator_key.key',
      caCertificate: 'ca_cert.cer',
      caKey: 'ca_key.key',
    },
    certificateLifetimeMs: 365 * 86_400_000,
    challengePort: 8802,
    gossipIntervalMsMin: 5_000,
    gossipIntervalMsMax: 30_000,
    gossipCompressionBytesMin: 1_024,
    rateLimits: {
      rpc: { requestsPerMinute: 100, burst: 20 },
      health: { requestsPerMinute: 300, burst: 50 },
      default: { requestsPerMinute: 200, burst: 30 },
    },
    dns: undefined,
    connectTimeoutMs: 15_000,
    readTimeoutMs: 45_000,
    redisUrl: undefined,
    logEntriesMax: 1_000,
    logRetentionMs: 14 * 86_400_000,
    logStoreBytesMax: 2 ** 30,
    logSpoolBytesMax: 2 ** 27,
    otlp: undefined,
    logLevel: 'INFO',
    oidc: undefined,
    alerts: { webhooks: [], email: undefined, script: undefined },
    stateDirectory: join(home, 'data/coordinator'),
    storagePath: join(home, 'data/coordinator/vault'),
    plotFile: join(home, 'dist/services/plot'),
    servicesDirectory: join(home, 'dist/services'),
  })
})

test('an interface can be said to be something else than it looks like', () => {
  const given = load(`${README_WORKER}network_interfaces: {tun0: lan, eth2: ignored, "Ethernet 3": vpn}\n`)
  assert.deepEqual(given.interfaceKinds, { tun0: 'lan', eth2: 'ignored', 'Ethernet 3': 'vpn' })
  for (const wrong of ['{tun0: wan}', '[tun0]', 'tun0', '{"": lan}']) {
    assert.throws(() => load(`${README_WORKER}network_interfaces: ${wrong}\n`), { code: 'P2P_CONFIG_INVALID' }, wrong)
  }
})

test('labels say what a node is; those every node has cannot be said otherwise', () => {
  const given = load(`${README_WORKER}labels: {rack: a, "corp.example/disk": ssd}\n`)
  assert.deepEqual(given.labels, { rack: 'a', 'corp.example/disk': 'ssd' })
  const many = (count: number): string =>
    `{${Array.from({ length: count }, (_, index) => `label${index}: x`).join(', ')}}`
  assert.equal(Object.keys(load(`${README_WORKER}labels: ${many(32)}\n`).labels).length, 32)
  const wrong = ['{role: worker}', '{node: n1}', '{rack: 7}', '{rack: ""}', '{-a: b}', '{"a b": c}', '[rack]', 'rack']
  for (const labels of [...wrong, many(33), `{rack: ${'x'.repeat(65)}}`, '{rack: "a\\nb"}']) {
    const { code, lines } = refusal(`${README_WORKER}labels: ${labels}\n`)
    assert.equal(code, 'P2P_CONFIG_INVALID', labels)
    assert.match(lines[0] as string, /labels.*expected a map of at most 32 names/, labels)
  }
})

test('DNS is off unless it has a port, and stays on this machine unless it has an address', () => {
  assert.equal(load(README_WORKER).dns, undefined)
  assert.equal(load(`${README_WORKER}dns_address: 10.0.0.1\n`).dns, undefined)
  assert.deepEqual(load(`${README_WORKER}dns_port: 8853\n`).dns, { address: '127.0.0.1', port: 8_853 })
  assert.deepEqual(load(`${README_WORKER}dns_port: 53\ndns_address: "::"\n`).dns, { address: '::', port: 53 })
  for (const wrong of ['dns_port: 65536', 'dns_port: "8853"', 'dns_address: localhost', 'dns_port: -1']) {
    assert.throws(() => load(`${README_WORKER}${wrong}\n`), { code: 'P2P_CONFIG_INVALID' }, wrong)
  }
})

test('the result is frozen to its leaves', () => {
  const config = load(README_WORKER)
  for (const part of [config, config.coordinatorAddresses, config.certificateEntries, config.rateLimits?.rpc]) {
    assert.ok(Object.isFrozen(part))
  }
})

test('defaults follow the role', () => {
  const coordinator = load(COORDINATOR)
  const worker = load('coordinator_addresses: [c]')
  assert.match(coordinator.nodeId, /^coordinator-[A-Za-z0-9-]+$/)
  assert.match(worker.nodeId, /^worker-[A-Za-z0-9-]+$/)
  assert.deepEqual([coordinator.port, worker.port], [8001, 8002])
  assert.deepEqual(
    [coordinator.stateDirectory, worker.stateDirectory],
    [join(home, 'data/coordinator'), join(home, 'data/worker')],
  )
  assert.equal(worker.certificateEntries.certificate, 'worker_cert.cer')
  assert.equal(worker.certificateEntries.caKey, undefined)
})

test('relative paths start at the folder of the file, or above it when that is called config', () => {
  const text = `${COORDINATOR}state_directory: state\nservices_directory: /opt/services`
  const paths = (file: string): string[] => {
    const config = load(text, { file })
    return [config.homeDirectory, config.stateDirectory, config.servicesDirectory]
  }
  assert.deepEqual(paths('config/a.yaml'), [home, join(home, 'state'), resolve('/opt/services')])
  assert.deepEqual(paths('nodes/a.yaml'), [join(home, 'nodes'), join(home, 'nodes/state'), resolve('/opt/services')])
  assert.deepEqual(paths('/etc/p2p/config/a.yaml')[0], resolve('/etc/p2p'))
  assert.equal(load(text, { storagePath: 'elsewhere/vault' }).storagePath, join(home, 'elsewhere/vault'))
})

test('without a file, flags and defaults make a configuration at the working directory', () => {
  const config = loadConfig({ flags: { coordinator_mode: true, port: 0 }, workingDirectory: home })
  assert.equal(config.homeDirectory, home)
  assert.equal(config.port, 0)
})

test('a later source wins: file, then environment, then flags', () => {
  const text = `${COORDINATOR}port: 9001\nredis_url: redis://file:1`
  const environment = { P2P_REDIS_URL: 'redis://environment:1', P2P_PORT: '7' }
  assert.equal(load(text).redisUrl, 'redis://file:1')
  assert.equal(load(text, { environment }).redisUrl, 'redis://environment:1')
  const config = load(text, { environment, flags: { redis_url: 'rediss://flag:1', port: 9002, node_id: undefined } })
  assert.equal(config.redisUrl, 'rediss://flag:1')
  assert.equal(config.port, 9002)
  assert.equal(load(text, { isVerbose: true }).logLevel, 'DEBUG')
})

test('the environment gives secrets only, and none of them is in the configuration', () => {
  const environment = { P2P_PASSWORD: ' kept as is ', P2P_JOIN_TOKEN: ' P2P1-a-b\n', P2P_RECOVERY_KEY: '' } as Record<
    string,
    string
  >
  environment['P2P_OTLP_HEADERS'] = ' authorization=Bearer%20hidden'
  assert.deepEqual(secretsFrom(environment), {
    password: ' kept as is ',
    joinToken: 'P2P1-a-b',
    recoveryKey: undefined,
    otlpHeaders: 'authorization=Bearer%20hidden',
  })
  assert.doesNotMatch(JSON.stringify(load(COORDINATOR, { environment })), /P2P1|kept|hidden/)
})

test('a flag that makes a worker complete replaces what the file lacks or has', () => {
  const flags = { coordinator_addresses: ['10.0.0.1', '10.0.0.2:9', '10.0.0.1:8001'] }
  assert.deepEqual(load('', { flags }).coordinatorAddresses, ['10.0.0.1:8001', '10.0.0.2:9'])
  assert.deepEqual(load(README_WORKER, { flags }).coordinatorAddresses, ['10.0.0.1:8001', '10.0.0.2:9'])
})

test('addresses of coordinators are brought to one form', () => {
  const addresses = '["[FE80::1]:8001", "[::1]", "Host.Example:1", "10.0.0.1"]'
  assert.deepEqual(load(`coordinator_addresses: ${addresses}`).coordinatorAddresses, [
    '[fe80::1]:8001',
    '[::1]:8001',
    'host.example:1',
    '10.0.0.1:8001',
  ])
  for (const wrong of [
    '::1',
    'fe80::1:8001',
    '1.2.3.4:0',
    '1.2.3.4:65536',
    '1.2.3',
    'a b:1',
    'http://a:1',
    '-a:1',
    'a:',
    '',
    '[1.2.3.4]:1',
  ]) {
    assert.equal(refusal(`coordinator_addresses: [${JSON.stringify(wrong)}]`).code, 'P2P_CONFIG_INVALID', wrong)
  }
})

test('switches and times take effect', () => {
  const config = load(
    `${COORDINATOR}rate_limit_enabled: false\ngossip_compression_enabled: false\nredis_url: redis://h\nredis_enabled: false\ncertificate_lifetime: 1m\nread_timeout: 7`,
  )
  assert.equal(config.rateLimits, undefined)
  assert.equal(config.gossipCompressionBytesMin, undefined)
  assert.equal(config.redisUrl, undefined)
  assert.equal(config.certificateLifetimeMs, 60_000)
  assert.equal(config.readTimeoutMs, 7_000)
})

test('an optional key without a value is not set; any other is refused', () => {
  assert.equal(
    load(`${COORDINATOR}advertise_address:\nredis_url: null\ncoordinator_addresses: ~`).advertiseAddress,
    undefined,
  )
  assert.deepEqual(refusal(`${COORDINATOR}connect_timeout:`).lines, [
    'config/node.yaml:2:17: connect_timeout: expected a whole number from 1 to 300 (seconds), not nothing',
  ])
})

test('an unknown key is refused with its place and the key that was meant', () => {
  assert.deepEqual(refusal(`${COORDINATOR}bind_adress: 0.0.0.0\nnodeid: x\nzzz: 1`), {
    code: 'P2P_CONFIG_UNKNOWN_KEY',
    lines: [
      'config/node.yaml:2:1: unknown key "bind_adress"; did you mean bind_address?',
      'config/node.yaml:3:1: unknown key "nodeid"; did you mean node_id?',
      'config/node.yaml:4:1: unknown key "zzz"; "p2p config keys" lists the keys there are',
    ],
  })
})

test('keys with the names of object internals are unknown keys', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.equal(refusal(`${COORDINATOR}${name}: 1`).code, 'P2P_CONFIG_UNKNOWN_KEY', name)
  }
})

test('every key of the Python program that is gone says why and what to do', () => {
  const gone =
    'adjust_interval_period cleanup_interval compression_enabled compression_threshold failure_timeout gossip_interval gossip_interval_current gossip_state_file jwt_blacklist_file jwt_expiration_hours jwt_secret log_collection_enabled max_gossip_targets message_count scan_interval service_state_file ssl_verify'
  for (const name of gone.split(' ')) {
    const { code, lines } = refusal(`${COORDINATOR}${name}: 1`)
    assert.equal(code, 'P2P_CONFIG_UNKNOWN_KEY')
    assert.match(lines[0] as string, new RegExp(`^config/node.yaml:2:1: ${name} was removed: .{15,}`))
  }
  assert.match(
    refusal(`${COORDINATOR}jwt_secret: x`).lines[0] as string,
    /the signing key is made and kept in the vault/,
  )
})

test('all issues come at once, in the order of the file, those of flags first', () => {
  const { code, lines } = refusal('port: 99999\ncoordinator_mode: yes\njwt_secret: x\nmax_log_entries: "500"\n', {
    flags: { node_id: 'a b' },
  })
  assert.equal(code, 'P2P_CONFIG_INVALID')
  assert.deepEqual(lines, [
    '--node-id: node_id: expected a name of 1 to 63 letters, digits, "-", "_" and ".", beginning with a letter or digit, not "a b"',
    'config/node.yaml:1:7: port: expected a whole number from 0 to 65535, not 99999',
    'config/node.yaml:2:19: coordinator_mode: expected true or false, not "yes"; write true',
    'config/node.yaml:3:1: jwt_secret was removed: the signing key is made and kept in the vault',
    'config/node.yaml:4:18: max_log_entries: expected a whole number from 10 to 100000 (lines), not "500"; leave the quotes out',
  ])
})

test('flags are named as they are written', () => {
  assert.match(refusal(COORDINATOR, { flags: { bind_address: 'x' } }).lines[0] as string, /^--address: bind_address: /)
  assert.match(
    refusal('', { flags: { coordinator_addresses: ['x:y'] } }).lines[0] as string,
    /^--coord: coordinator_addresses: /,
  )
})

test('a value of the wrong kind or range is refused', () => {
  for (const line of [
    'node_id: ""',
    'node_id: .hidden',
    `node_id: ${'x'.repeat(64)}`,
    'node_id: 5',
    'port: -1',
    'port: 1.5',
    'port: 0x1FFFF',
    'port: .nan',
    'bind_address: localhost',
    'bind_address: 1.2.3.4.5',
    'advertise_address: host:8001',
    'advertise_address: "a b"',
    'coordinator_addresses: []',
    'coordinator_addresses: {a: 1}',
    `coordinator_addresses: [${Array.from({ length: 17 }, (_, i) => `h${i}`).join(', ')}]`,
    'security_profile: closed',
    'https_enabled: false',
    'ssl_cert_file: ..',
    'ssl_cert_file: certs/',
    'ssl_cert_file: "a b.cer"',
    'certificate_lifetime: 59s',
    'certificate_lifetime: 3651d',
    'certificate_lifetime: 365',
    'certificate_lifetime: forever',
    'challenge_port: 65536',
    'gossip_interval_min: 0',
    'gossip_interval_max: 3601',
    'gossip_compression_threshold: 10',
    'rate_limit_rpc_requests: 0',
    'rate_limit_rpc_burst: 1e9',
    'connect_timeout: 15s',
    'redis_url: localhost:6379',
    'redis_url: http://h',
    'max_log_entries: true',
    'state_directory: ""',
    'state_directory: [a]',
  ]) {
    const { code, lines } = refusal(COORDINATOR + line)
    assert.equal(code, 'P2P_CONFIG_INVALID', line)
    assert.match(lines[0] as string, /^config\/node\.yaml:2:\d+: \w+: expected /, line)
  }
})

test('values that contradict each other are refused', () => {
  const cases: [text: string, expected: RegExp][] = [
    ['port: 8002', /^config\/node\.yaml:1:1: coordinator_addresses is missing: .*--coord HOST:PORT/],
    [`${COORDINATOR}coordinator_addresses: [h]`, /no effect on a coordinator/],
    [
      'coordinator_addresses: [h]\nssl_ca_key_file: ca.key',
      /^config\/node\.yaml:2:18: ssl_ca_key_file: only a coordinator/,
    ],
    [
      `${COORDINATOR}gossip_interval_min: 31`,
      /2:22: gossip_interval_min \(31\) is larger than gossip_interval_max \(30\)/,
    ],
    [
      `${COORDINATOR}gossip_interval_max: 4`,
      /2:22: gossip_interval_min \(5\) is larger than gossip_interval_max \(4\)/,
    ],
    [`${COORDINATOR}security_profile: open`, /2:19: security_profile open lets everybody in.*not 0\.0\.0\.0/],
    [`${COORDINATOR}redis_enabled: true`, /redis_enabled: true needs redis_url/],
    [
      `${COORDINATOR}ssl_cert_file: a/x.pem\nssl_key_file: b/x.pem`,
      /ssl_key_file and ssl_cert_file name the same vault entry, x\.pem/,
    ],
    [`${COORDINATOR}ssl_cert_file: ca_cert.cer`, /ssl_cert_file and ssl_ca_cert_file name the same vault entry/],
    [`${COORDINATOR}port: 8802`, /port and challenge_port are both 8802/],
  ]
  for (const [text, expected] of cases) {
    const { code, lines } = refusal(text)
    assert.equal(code, 'P2P_CONFIG_INVALID', text)
    assert.equal(lines.length, 1, text)
    assert.match(lines[0] as string, expected)
  }
  for (const address of ['127.0.0.1', '127.9.9.9', '::1']) {
    assert.equal(load(`${COORDINATOR}security_profile: open\nbind_address: "${address}"`).securityProfile, 'open')
  }
})

test('text that is not one plain YAML map is refused where it goes wrong, and nothing else is complained of', () => {
  const cases: [text: string, expected: string | RegExp][] = [
    ['port: 1\nport: 2', 'config/node.yaml:2:1: the same key stands here a second time'],
    ['node_id: x\n\tport: 1', /^config\/node\.yaml:2:1: tabs /],
    ['a: 1\n---\nb: 2', 'config/node.yaml:2:1: a second document begins here; a configuration is one'],
    ['- a\n- b', 'config/node.yaml:1:1: expected lines of the form "key: value"'],
    ['just text', 'config/node.yaml:1:1: expected lines of the form "key: value"'],
    ['? [a, b]\n: 1', 'config/node.yaml:1:3: expected the name of a key'],
    ['1: 2', 'config/node.yaml:1:1: expected the name of a key'],
    ['node_id: &a x', 'config/node.yaml:1:13: "&a" is an anchor; a configuration has no use for it'],
    ['node_id: !secret x', /^config\/node\.yaml:1:10: unresolved tag: !secret$/],
    ['node_id: "x', /^config\/node\.yaml:1:12: missing closing "quote/],
    ['['.repeat(60_000), 'config/node.yaml:1:1: the values are nested too deeply for a configuration'],
    [`# ${'x'.repeat(70_000)}`, /^config\/node\.yaml:1:1: the file is larger than/],
  ]
  for (const [text, expected] of cases) {
    const { code, lines } = refusal(text)
    assert.equal(code, 'P2P_CONFIG_INVALID')
    assert.equal(lines.length, 1, lines.join('\n'))
    if (typeof expected === 'string') assert.equal(lines[0], expected)
    else assert.match(lines[0] as string, expected)
  }
})

test('an alias bomb is refused before it is expanded', () => {
  const levels = Array.from({ length: 30 }, (_, i) => `k${i}: &a${i} [${i ? `*a${i - 1}, *a${i - 1}` : 'x'}]`)
  assert.match(refusal(levels.join('\n')).lines[0] as string, /^config\/node\.yaml:1:\d+: "&a0" is an anchor/)
})

test('a great many mistakes are cut to what can be read', () => {
  const { lines } = refusal(COORDINATOR + Array.from({ length: 80 }, (_, i) => `zz_${i}: 1`).join('\n'))
  assert.equal(lines.length, 51)
  assert.equal(lines.at(-1), 'and 30 more')
})

test('the value of a key that may hold a password is never shown', () => {
  const { lines } = refusal(`${COORDINATOR}redis_url: http://user:hunter2@host`)
  assert.doesNotMatch(lines.join('\n'), /hunter2/)
})

test('a file that is not there, is a folder or is no text is named', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'p2p-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const attempt = (file: string): void => void loadConfig({ file, workingDirectory: folder })
  assert.throws(() => attempt('none.yaml'), {
    code: 'P2P_CONFIG_NOT_FOUND',
    message: /none\.yaml cannot be read: there is no such file/,
  })
  assert.throws(() => attempt('.'), { code: 'P2P_CONFIG_NOT_FOUND', message: /it is a folder/ })
  writeFileSync(join(folder, 'binary.yaml'), Buffer.from([0xff, 0xfe, 0x00, 0x80]))
  assert.throws(() => attempt('binary.yaml'), {
    code: 'P2P_CONFIG_INVALID',
    message: 'binary.yaml: the file is not UTF-8 text',
  })
  writeFileSync(join(folder, 'bom.yaml'), `\uFEFF${COORDINATOR}`)
  assert.equal(loadConfig({ file: 'bom.yaml', workingDirectory: folder }).role, 'coordinator')
})

test('an OpenTelemetry collector is told where one is named', () => {
  const { otlp } = load(
    'otlp_endpoint: https://otel.corp.internal:4318/\notlp_trace_percent: 5\ncoordinator_mode: true',
  )
  assert.deepEqual(otlp, { endpoint: 'https://otel.corp.internal:4318', metricsEveryMs: 15_000, traceRatio: 0.05 })
  for (const url of ['otel:4318', 'ftp://otel', 'https://user:secret@otel']) {
    assert.throws(() => load(`otlp_endpoint: ${url}\ncoordinator_mode: true`), /otlp_endpoint/)
  }
})
