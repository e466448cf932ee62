import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filledIn, type Placeholders, portOf } from '../../../../src/service/host/placeholders.ts'

const VALUES: Placeholders = {
  ports: { web: 8_080, admin: 9_090 },
  folder: '/srv/web',
  data: '/state/web',
  instance: '2',
  config: { name: 'Ada', depth: 3, list: [1] },
  secrets: { key: 'hunter2' },
  files: { 'app.conf': '/memory/app.conf' },
}

test('each placeholder gets its value, and other braces stay', () => {
  const text =
    '{port:web} {folder}/x {data} {instance} {config:name} {config:depth} {config:list} {secret:key} {file:app.conf} ${HOME} {"a":1} {ports}'
  assert.equal(
    filledIn(text, VALUES, 'x'),
    '8080 /srv/web/x /state/web 2 Ada 3 [1] hunter2 /memory/app.conf ${HOME} {"a":1} {ports}',
  )
})

test('a value is not looked at again', () => {
  const values = { ...VALUES, config: { name: '{secret:key}' } }
  assert.equal(filledIn('{config:name}', values, 'x'), '{secret:key}')
})

test('the only port needs no name; a value that is not there is named with its place', () => {
  assert.equal(portOf({ web: 80 }, undefined), '80')
  for (const text of ['{port}', '{port:other}', '{config:none}', '{secret:none}', '{config}', '{secret}', '{file:x}']) {
    assert.throws(() => filledIn(text, VALUES, 'exec.args.1'), {
      code: 'P2P_SERVICE_LOAD_FAILED',
      message: `exec.args.1: there is no ${text.slice(1, -1)}`,
    })
  }
  assert.throws(() => filledIn('{secret:key}', { ...VALUES, secrets: {} }, 'exec.args.0'), /there is no secret:key/)
})
