import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { askedPermissions, parseManifest } from '../../../src/service/definition/manifest.ts'

describe('a manifest', () => {
  test('may say nothing, or what a later version understands', () => {
    assert.deepEqual(parseManifest({}), {})
    const others = { author: 'ada', dependencies: ['x'], files: ['main.ts'], id: 7, $schema: 'x' }
    assert.deepEqual(parseManifest(others), others)
  })

  test('gets defaults for what it leaves out of a part', () => {
    const { restart, permissions, health, exec, dependsOn } = parseManifest({
      exec: { command: './run' },
      restart: { attempts: 3 },
      permissions: { net: true },
      ports: { web: 0 },
      health: { kind: 'tcp', intervalMs: 100 },
      dependsOn: ['db', { service: 'cache', healthy: true }],
    })
    assert.deepEqual(restart, {
      policy: 'always',
      backoffMs: 100,
      backoffMsMax: 30_000,
      attempts: 3,
      windowMs: 300_000,
      healthyMs: 10_000,
    })
    assert.deepEqual(permissions, { net: true, childProcess: false, read: [], write: [] })
    assert.deepEqual(health, { kind: 'tcp', intervalMs: 100, timeoutMs: 2_000, failures: 3, successes: 1 })
    assert.deepEqual(exec, { command: './run', args: [], env: {} })
    assert.deepEqual(dependsOn, [
      { service: 'db', healthy: false },
      { service: 'cache', healthy: true },
    ])
  })

  test('asks for nothing by default; relative paths are below its folder', () => {
    assert.deepEqual(askedPermissions({}, '/srv/shop'), { net: false, childProcess: false, read: [], write: [] })
    const manifest = parseManifest({ permissions: { read: ['../lists', '/etc/hosts'], write: ['out'] } })
    assert.deepEqual(askedPermissions(manifest, '/srv/shop'), {
      net: false,
      childProcess: false,
      read: ['/srv/lists', '/etc/hosts'],
      write: ['/srv/shop/out'],
    })
  })

  const refusals: [object, RegExp][] = [
    [{ permissions: { network: true } }, /permissions\.network: there is no such member; there are net, childProcess/],
    [{ limits: { memoryMB: 3 } }, /limits\.memoryMB: there is no such member; did you mean memoryMb\?/],
    [{ limits: { memoryMb: 1 } }, /limits\.memoryMb:/],
    [
      { permissons: { net: true } },
      /^manifest\.json: permissons: there is no such member; did you mean permissions\?$/,
    ],
    [{ limit: {} }, /limit: there is no such member; did you mean limits\?/],
    [{ kind: 'docker' }, /kind: .*"process"\|"thread"\|"inline"\|"exec"/],
    [{ kind: 'exec' }, /exec: is missing: kind "exec" needs/],
    [{ kind: 'process', exec: { command: 'x' } }, /kind: must be "exec"/],
    [{ exec: { command: 'x', args: ['-p', '{secret:key}'] } }, /exec\.args\.1: a secret in an argument can be read/],
    [{ exec: { command: 'x', cwd: '../other' } }, /exec\.cwd: must be a path below/],
    [{ exec: { command: 'x', cwd: '/etc' } }, /exec\.cwd: must be a path below/],
    [{ exec: { command: 'x', env: { 'A=B': '1' } } }, /exec\.env/],
    [{ instances: 0 }, /instances:/],
    [{ instances: 2, kind: 'inline' }, /instances: must be 1/],
    [{ instances: 2, ports: { web: 80 }, permissions: { net: true } }, /ports\.web: 2 instances cannot share port 80/],
    [{ ports: { web: 80 } }, /ports: need "permissions": \{ "net": true \}/],
    [{ ports: { web: 70_000 } }, /ports\.web:/],
    [{ ports: { web: 0 }, permissions: { net: true } }, /ports\.web: must be the port the service listens on/],
    [{ health: { kind: 'http', path: '/' } }, /ports: is missing: health check "http" needs a port/],
    [
      { health: { kind: 'tcp' }, ports: { a: 1, b: 2 }, permissions: { net: true } },
      /health\.port: is missing: say which of a, b/,
    ],
    [
      { health: { kind: 'tcp', port: 'c' }, ports: { a: 1 }, permissions: { net: true } },
      /health\.port: "c" is not in ports \(a\)/,
    ],
    [
      { exec: { command: 'x' }, health: { kind: 'method', method: 'm' } },
      /health\.kind: "method" is for services with/,
    ],
    [{ health: { kind: 'http', path: '/', intervallMs: 1 } }, /did you mean intervalMs\?/],
    [{ restart: { policy: 'sometimes' } }, /restart\.policy:/],
    [{ secrets: ['a b'] }, /secrets\.0: must be 1 to 63/],
    [{ config: { when: Number.NaN } }, /config\.when/],
  ]
  for (const [manifest, message] of refusals) {
    test(`is refused, and told why: ${JSON.stringify(manifest)}`, () => {
      assert.throws(() => parseManifest(manifest), { code: 'P2P_SERVICE_LOAD_FAILED', message })
    })
  }
})
