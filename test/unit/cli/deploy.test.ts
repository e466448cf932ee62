import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, suite, test, type TestContext } from 'node:test'
import type { PlanView, RolloutView } from '../../../src/cli/session/deployments.ts'
import { type FakeUser, fakeUser, NOW_MS } from './fake-host.ts'
import { problem, type StubAnswer, type StubNode, stubNode, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const ROLLOUT: RolloutView = {
  service: 'shop',
  generation: 4,
  from_version: '1.2.0',
  to_version: '1.3.0',
  state: 'running',
  done: 0,
  wanted: 2,
  nodes: [
    { node_id: 'worker-1', state: 'starting' },
    { node_id: 'worker-2', state: 'waiting' },
  ],
  started_at_ms: NOW_MS,
}
const SUCCEEDED: RolloutView = {
  ...ROLLOUT,
  state: 'succeeded',
  done: 2,
  nodes: [
    { node_id: 'worker-1', state: 'done' },
    { node_id: 'worker-2', state: 'done' },
  ],
  ended_at_ms: NOW_MS + 12_000,
}

const PLAN: PlanView = {
  service: 'shop',
  from_version: '1.2.0',
  to_version: '1.3.0',
  changes: [
    { path: 'version', from: '1.2.0', to: '1.3.0' },
    { path: 'config.page', to: '10' },
    { path: 'config.old', from: '5' },
  ],
  nodes: [
    { node_id: 'worker-1', from: 1, to: 1, replaces: true },
    { node_id: 'worker-2', from: 0, to: 1, replaces: false },
    { node_id: 'worker-3', from: 1, to: 0, replaces: false },
    { node_id: 'worker-4', from: 1, to: 1, replaces: false },
  ],
  incompatible: [],
  refusals: [],
  warnings: ['it has one instance only'],
}
const NO_CHANGE: PlanView = { ...PLAN, from_version: '1.3.0', changes: [], nodes: [], warnings: [] }

function events(...rollouts: RolloutView[]): StubAnswer {
  const body = rollouts.map((rollout) => `event: rollout\ndata: ${JSON.stringify(rollout)}\n\n`).join('')
  return { body: `retry: 2000\n\n${body}`, headers: { 'content-type': 'text/event-stream' } }
}

/** A coordinator that takes bundles in memory and deploys `shop`, a signed-in user, and a service in the folder `shop`. */
async function shop(t: TestContext): Promise<{ user: FakeUser; node: StubNode; uploaded: () => Buffer }> {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  node.answers['POST /auth/token'] = { body: { access_token: 't', expires_in: 43_200, role: 'admin' } }
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  const operator = { url: node.url, cluster: 'c1', ca_certificate: authority.ca, credential: 'x' }
  writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(operator))

  let bytes = Buffer.alloc(0)
  let begun = { digest: '', size_bytes: 0 }
  const status = (): StubAnswer => {
    const isWhole = begun.size_bytes > 0 && bytes.length === begun.size_bytes
    const artifact = isWhole ? { service: 'shop', version: '1.3.0' } : undefined
    return { body: { ...begun, offset: bytes.length, artifact } }
  }
  node.answers['POST /api/artifacts'] = ({ body }) => {
    begun = body as typeof begun
    const take = (request: { path: string; body: unknown }): StubAnswer => {
      const offset = Number(new URL(request.path, node.url).searchParams.get('offset'))
      if (offset !== bytes.length) return problem('P2P_DEPLOY_INVALID', 400)
      bytes = Buffer.concat([bytes, request.body as Buffer])
      return status()
    }
    node.answers[`PUT /api/artifacts/${begun.digest}`] ??= take
    node.answers[`GET /api/artifacts/${begun.digest}`] ??= status
    return status()
  }
  node.answers['POST /api/deployments/shop/plan'] = { body: PLAN }
  node.answers['PUT /api/deployments/shop'] = { status: 202, body: ROLLOUT }
  node.answers['GET /api/deployments/shop/rollout/events'] = events(ROLLOUT, SUCCEEDED)

  mkdirSync(join(user.folder, 'shop'))
  writeFileSync(join(user.folder, 'shop/manifest.json'), JSON.stringify({ name: 'shop', version: '1.3.0' }))
  writeFileSync(join(user.folder, 'shop/main.js'), 'export default 1\n')
  return { user, node, uploaded: () => bytes }
}

const asked = (node: StubNode, key: string) =>
  node.requests.filter(({ method, path }) => `${method} ${path.split('?')[0]}` === key)

suite('p2p deploy', () => {
  test('packs, uploads, shows the plan and follows the rollout to its end', async (t) => {
    const { user, node, uploaded } = await shop(t)
    const { TMPDIR: before } = process.env
    process.env.TMPDIR = user.folder
    t.after(() => {
      if (before === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = before
    })
    const { code, output, talk } = await user.run('deploy', 'shop', '--count', '2', '--reason', 'new prices')
    assert.equal(code, 0, talk)
    assert.equal(output, '')
    const digest = createHash('sha256').update(uploaded()).digest('hex')
    assert.deepEqual(asked(node, 'POST /api/artifacts')[0]?.body, { digest, size_bytes: uploaded().length })
    const body = { count: 2, reason: 'new prices', artifact: digest }
    assert.deepEqual(asked(node, 'POST /api/deployments/shop/plan')[0]?.body, body)
    assert.deepEqual(asked(node, 'PUT /api/deployments/shop')[0]?.body, body)
    const lines = talk.split('\n')
    assert.match(lines[0] as string, /^Packed shop 1\.3\.0: 2 files, \d+ B$/)
    assert.deepEqual(lines.slice(2), [
      'shop 1.2.0 -> 1.3.0',
      '  ~ version      1.2.0 -> 1.3.0',
      '  + config.page  10',
      '  - config.old   5',
      'On the nodes:',
      '  ~ worker-1  1 instance, replaced',
      '  + worker-2  1 instance',
      '  - worker-3  1 instance',
      'warning: it has one instance only',
      'worker-1: starting',
      'worker-2: waiting',
      '0 of 2 healthy',
      'worker-1: done',
      'worker-2: done',
      '2 of 2 healthy',
      'Done: shop 1.3.0 runs, 2 of 2 healthy, after 12 s',
      '',
    ])
    assert.deepEqual(
      readdirSync(user.folder).filter((name) => name.startsWith('p2p-bundle-')),
      [],
      'no copy of the bundle is left',
    )
  })

  test('every flag says what it should', async (t) => {
    const { user, node } = await shop(t)
    writeFileSync(join(user.folder, 'shop.yaml'), 'pageSize: 10\nnested: { snake_key: true }\n')
    const flags = [
      '--every --label disk=ssd --label rack=a=b --spread-by rack',
      '--strategy canary --batch 3 --watch 5m',
      '--config shop.yaml --secret db_password=shop/db',
      '--grant net,childProcess --grant read=/srv/data --force --detach',
      '--per-node 2 --memory 64 --cpus 0.5 --healthy-for 1s --deadline 2m --after stock=healthy --after mail',
      '--cron @daily --time-zone Europe/Berlin --retries 1',
    ]
    const { code, talk } = await user.run('deploy', './shop', ...flags.join(' ').split(' '))
    assert.equal(code, 0, talk)
    const body = asked(node, 'PUT /api/deployments/shop')[0]?.body as { artifact: string }
    assert.deepEqual(body, {
      artifact: body.artifact,
      count: 'every',
      placement: { labels: { disk: 'ssd', rack: 'a=b' }, spread_by: 'rack', per_node_max: 2 },
      reserve: { memory_mb: 64, cpus: 0.5 },
      healthy_ms: 1_000,
      deadline_ms: 120_000,
      depends_on: [
        { service: 'stock', healthy: true },
        { service: 'mail', healthy: false },
      ],
      job: { kind: 'cron', schedule: '@daily', time_zone: 'Europe/Berlin', retries: 1 },
      update: { kind: 'canary', nodes: 1, watch_ms: 300_000, batch: 3 },
      config: { pageSize: 10, nested: { snake_key: true } },
      secrets: { db_password: 'shop/db' },
      granted: { net: true, child_process: true, read: ['/srv/data'], write: [] },
      force: true,
    })
    assert.match(talk, /on its way\. To look again: p2p history shop --follow\n$/)
    assert.equal(asked(node, 'GET /api/deployments/shop/rollout/events').length, 0)
  })

  test('--no-job makes a service of a job', async (t) => {
    const { user, node } = await shop(t)
    const { code, talk } = await user.run('deploy', 'shop', '--no-job', '--detach')
    assert.equal(code, 0, talk)
    const body = asked(node, 'PUT /api/deployments/shop')[0]?.body as { artifact: string }
    assert.deepEqual(body, { artifact: body.artifact, job: null })
  })

  test('mistakes are found before anything is packed or sent', async (t) => {
    const { user, node } = await shop(t)
    writeFileSync(join(user.folder, 'list.yaml'), '- 1\n')
    const cases: [argv: string[], said: RegExp][] = [
      [['nowhere'], /There is no folder "nowhere"/],
      [['shop/main.js'], /There is no folder/],
      [['shop', '--count', 'many'], /whole number from 0 to 10000, or "every"/],
      [['shop', '--count', '-1'], /whole number/],
      [['shop', '--count', '2', '--every'], /exclude each other/],
      [['shop', '--label', 'ssd'], /--label "ssd" is not of the form name=value/],
      [['shop', '--label', 'a=1', '--label', 'a=2'], /--label a is given twice/],
      [['shop', '--strategy', 'blue-green'], /Allowed choices are rolling, canary, all-at-once/],
      [['shop', '--watch', '5m'], /--watch goes with --strategy canary/],
      [['shop', '--strategy', 'all-at-once', '--batch', '2'], /--batch goes with/],
      [['shop', '--strategy', 'canary', '--watch', 'long'], /is not a duration/],
      [['shop', '--once', '--cron', '@daily'], /exclude each other/],
      [['shop', '--no-job', '--cron', '@daily'], /--no-job excludes/],
      [['shop', '--time-zone', 'UTC'], /--time-zone goes with --cron/],
      [['shop', '--retries', '2'], /--retries goes with/],
      [['shop', '--after', 'stock=soon'], /--after "stock=soon" is neither SERVICE nor SERVICE=healthy/],
      [['shop', '--deadline', 'soon'], /--deadline "soon" is not a duration/],
      [['shop', '--cpus', 'many'], /number of cores/],
      [['shop', '--grant', 'root'], /--grant "root" is no permission; there are net/],
      [['shop', '--grant', 'read=data'], /absolute paths/],
      [['shop', '--config', 'none.yaml'], /--config none\.yaml cannot be read/],
      [['shop', '--config', 'list.yaml'], /must hold names and values/],
    ]
    for (const [argv, said] of cases) {
      const { code, output, talk } = await user.run('deploy', ...argv)
      assert.equal(code, 2, argv.join(' '))
      assert.equal(output, '')
      assert.match(talk, said)
    }
    assert.deepEqual(node.requests, [])
  })

  test('a folder that cannot be packed is refused with the file and the remedy', async (t) => {
    const { user, node } = await shop(t)
    writeFileSync(join(user.folder, 'shop/manifest.json'), '{"name": "shop"}')
    const { code, talk } = await user.run('deploy', 'shop')
    assert.notEqual(code, 0)
    assert.match(talk, /manifest\.json.*version/s)
    assert.equal(asked(node, 'POST /api/artifacts').length, 0)
  })

  test('a bundle that is there is not sent again, and without changes nothing is deployed', async (t) => {
    const { user, node } = await shop(t)
    await user.run('deploy', 'shop')
    node.answers['POST /api/deployments/shop/plan'] = { body: NO_CHANGE }
    node.requests.length = 0
    const { code, talk } = await user.run('deploy', 'shop')
    assert.equal(code, 0)
    assert.match(talk, /The coordinator has this bundle already\nshop 1\.3\.0: nothing to change\n$/)
    assert.ok(node.requests.every(({ method }) => method !== 'PUT'))
  })

  test('a plan that would be refused ends it with 1 and the reasons; --force goes on', async (t) => {
    const { user, node } = await shop(t)
    const refused: PlanView = {
      ...PLAN,
      incompatible: [{ method: 'shop/buy', what: 'vanishes', callers: ['cart', 'mail'] }],
      refusals: [{ code: 'INCOMPATIBLE', message: 'cart would break' }],
    }
    node.answers['POST /api/deployments/shop/plan'] = { body: refused }
    const { code, talk } = await user.run('deploy', 'shop')
    assert.equal(code, 1)
    assert.match(talk, /breaks: shop\/buy: vanishes; called by cart, mail\n/)
    assert.match(
      talk,
      /refused: cart would break \(INCOMPATIBLE\)\nNothing was changed; with --force it is done all the same\n$/,
    )
    assert.equal(asked(node, 'PUT /api/deployments/shop').length, 0)
    assert.equal((await user.run('deploy', 'shop', '--force')).code, 0)
  })

  test('the exit code and the last line tell how the rollout ended', async (t) => {
    const { user, node } = await shop(t)
    const ends: [RolloutView, RegExp][] = [
      [
        { ...SUCCEEDED, state: 'rolled-back', reason: 'worker-1: port 80 is taken' },
        /^Rolled back: shop 1\.3\.0 failed, 1\.2\.0 runs again, after 12 s: worker-1: port 80 is taken$/m,
      ],
      [{ ...SUCCEEDED, state: 'failed', done: 1 }, /^Failed: shop 1\.3\.0, 1 of 2 healthy/m],
      [{ ...ROLLOUT, state: 'superseded' }, /^Superseded: another change of shop/m],
      [{ ...ROLLOUT, generation: 5 }, /^Superseded: another change of shop/m],
    ]
    for (const [rollout, said] of ends) {
      node.answers['GET /api/deployments/shop/rollout/events'] = events(ROLLOUT, rollout)
      const { code, talk } = await user.run('deploy', 'shop')
      assert.equal(code, 1)
      assert.match(talk, said)
    }
  })

  test('a change that wants no instance, as of a job, counts none', async (t) => {
    const { user, node } = await shop(t)
    const none = { ...SUCCEEDED, nodes: [], done: 0, wanted: 0 }
    node.answers['PUT /api/deployments/shop'] = { status: 202, body: none }
    const { talk } = await user.run('deploy', 'shop', '--once')
    assert.match(talk, /warning: it has one instance only\nDone: shop 1\.3\.0, after 12 s\n$/)
  })

  test('a lost connection is opened again, and the rollout is followed on', async (t) => {
    const { user, node } = await shop(t)
    const answers = [events(ROLLOUT), problem('P2P_HTTP_STOPPING', 503, { retryable: true }), events(SUCCEEDED)]
    node.answers['GET /api/deployments/shop/rollout/events'] = () => answers.shift() as StubAnswer
    const { code, talk } = await user.run('deploy', 'shop')
    assert.equal(code, 0, talk)
    assert.match(talk, /refused with P2P_HTTP_STOPPING; trying again\n/)
  })

  test('Ctrl-C leaves the rollout going and says how to look again', async (t) => {
    const { user, node } = await shop(t)
    node.answers['GET /api/deployments/shop/rollout/events'] = () => {
      user.stop.abort(new Error('received SIGINT'))
      return events(ROLLOUT)
    }
    const { code, talk } = await user.run('deploy', 'shop')
    assert.equal(code, 130)
    assert.match(talk, /It goes on without this command\. To look again: p2p history shop --follow\n$/)
  })

  test('as JSON the output is the rollout at its end, and everything else is talk', async (t) => {
    const { user } = await shop(t)
    const { output } = await user.run('deploy', 'shop', '--output', 'json')
    assert.deepEqual(JSON.parse(output), SUCCEEDED)
    const detached = await user.run('deploy', 'shop', '--detach', '-o', 'json')
    assert.deepEqual(JSON.parse(detached.output), ROLLOUT)
  })

  test('on a terminal there is a bar for the upload and for every node, within 80 columns', async (t) => {
    const { user } = await shop(t)
    user.talkTerminal = { columns: 80, rows: 24 }
    user.environment.NO_COLOR = '1'
    const { talk } = await user.run('deploy', 'shop')
    assert.match(talk, /Uploading {2}█{24} {2}100 %/)
    assert.match(talk, / {2}worker-1 {2}██████████░{10} {2}starting\n/)
    assert.match(talk, / {2}worker-2 {2}█{20} {2}done\n/)
    // oxlint-disable-next-line no-control-regex
    const lines = talk.replaceAll(/\u001B\[[\d?]*[A-Za-z]/g, '').split(/[\r\n]/)
    assert.deepEqual(
      lines.filter((line) => line.length > 80),
      [],
    )
  })
})

suite('the upload of a bundle', () => {
  test('goes on after a part that failed, from where the coordinator is', async (t) => {
    const { user, node, uploaded } = await shop(t)
    const failures = [problem('P2P_STORAGE_OVERLOADED', 503), problem('P2P_ARTIFACT_OFFSET_MISMATCH', 409)]
    let take: ((request: never) => StubAnswer) | undefined
    const begin = node.answers['POST /api/artifacts'] as (request: never) => StubAnswer
    node.answers['POST /api/artifacts'] = (request) => {
      const answer = begin(request as never)
      const path = `PUT /api/artifacts/${(request.body as { digest: string }).digest}`
      take ??= node.answers[path] as (request: never) => StubAnswer
      const takes = take
      node.answers[path] = (part) => {
        return failures.shift() ?? takes(part as never)
      }
      return answer
    }
    const { code, talk } = await user.run('deploy', 'shop')
    assert.equal(code, 0, talk)
    assert.equal(talk.split('trying again').length, 3)
    assert.ok(uploaded().length > 0)
  })

  test('is given up when a part keeps failing, or is refused', async (t) => {
    const { user, node } = await shop(t)
    const begin = node.answers['POST /api/artifacts'] as (request: never) => StubAnswer
    let refusal = problem('P2P_STORAGE_OVERLOADED', 503)
    node.answers['POST /api/artifacts'] = (request) => {
      const answer = begin(request as never)
      node.answers[`PUT /api/artifacts/${(request.body as { digest: string }).digest}`] = () => refusal
      return answer
    }
    const failing = await user.run('deploy', 'shop')
    assert.match(failing.talk, /refused with P2P_STORAGE_OVERLOADED\n.*\n$/)
    assert.equal(node.requests.filter(({ method }) => method === 'PUT').length, 5)
    refusal = problem('P2P_DEPLOY_INVALID', 400)
    node.requests.length = 0
    const refused = await user.run('deploy', 'shop')
    assert.equal(refused.code, 2)
    assert.equal(node.requests.filter(({ method }) => method === 'PUT').length, 1)
  })

  test('Ctrl-C during it deploys nothing and says how to go on', async (t) => {
    const { user, node } = await shop(t)
    const begin = node.answers['POST /api/artifacts'] as (request: never) => StubAnswer
    node.answers['POST /api/artifacts'] = (request) => {
      const answer = begin(request as never)
      node.answers[`PUT /api/artifacts/${(request.body as { digest: string }).digest}`] = () => {
        user.stop.abort(new Error('received SIGINT'))
        return { hangs: true }
      }
      return answer
    }
    const { code, talk } = await user.run('deploy', 'shop')
    assert.equal(code, 130)
    assert.match(talk, /Interrupted: nothing was deployed\. The same command goes on/)
    assert.equal(asked(node, 'POST /api/deployments/shop/plan').length, 0)
  })
})

suite('p2p plan', () => {
  test('of a folder packs it; exit code 3 with changes, 0 without, 1 when refused', async (t) => {
    const { user, node } = await shop(t)
    const changed = await user.run('plan', 'shop')
    assert.equal(changed.code, 3)
    assert.match(changed.output, /^shop 1\.2\.0 -> 1\.3\.0\n {2}~ version/)
    assert.equal(asked(node, 'PUT /api/deployments/shop').length, 0)
    node.answers['POST /api/deployments/shop/plan'] = { body: NO_CHANGE }
    const same = await user.run('plan', 'shop')
    assert.deepEqual([same.code, same.output], [0, 'shop 1.3.0: nothing to change\n'])
    const refusals = [{ code: 'P2P_DEPLOY_REFUSED', message: 'the version goes backwards' }]
    node.answers['POST /api/deployments/shop/plan'] = { body: { ...PLAN, refusals } }
    assert.equal((await user.run('plan', 'shop')).code, 1)
  })

  test('of a service by name sends no bundle', async (t) => {
    const { user, node } = await shop(t)
    node.answers['POST /api/deployments/cart/plan'] = { body: { ...PLAN, service: 'cart' } }
    const { code, output } = await user.run('plan', 'cart', '--count', '5', '--output', 'json')
    assert.equal(code, 3)
    assert.equal((JSON.parse(output) as PlanView).service, 'cart')
    assert.deepEqual(asked(node, 'POST /api/deployments/cart/plan')[0]?.body, { count: 5 })
    assert.equal(asked(node, 'POST /api/artifacts').length, 0)
    const folder = await user.run('plan', './card')
    assert.equal(folder.code, 2)
    assert.match(folder.talk, /There is no folder "\.\/card"/)
  })

  test('of a new service says so', async (t) => {
    const { user, node } = await shop(t)
    const { from_version: _none, ...plan } = PLAN
    node.answers['POST /api/deployments/shop/plan'] = { body: plan }
    assert.match((await user.run('plan', 'shop')).output, /^shop 1\.3\.0, new\n/)
  })
})

suite('changes of a service', () => {
  test('scale, rollback, start and restart ask for it and follow the rollout', async (t) => {
    const { user, node } = await shop(t)
    for (const verb of ['scale', 'rollback', 'start', 'restart']) {
      node.answers[`POST /api/deployments/shop/${verb}`] = { status: 202, body: ROLLOUT }
    }
    for (const [argv, body] of [
      [['scale', 'shop', '3'], { count: 3 }],
      [['scale', 'shop', 'every'], { count: 'every' }],
      [['rollback', 'shop'], undefined],
      [['rollback', 'shop', '2'], { generation: 2 }],
      [['start', 'shop'], undefined],
      [['restart', 'shop'], undefined],
    ] as const) {
      node.requests.length = 0
      const { code, talk } = await user.run(...argv)
      assert.equal(code, 0, talk)
      assert.match(talk, /Done: shop 1\.3\.0 runs/)
      assert.deepEqual(asked(node, `POST /api/deployments/shop/${argv[0]}`)[0]?.body, body)
    }
    assert.equal((await user.run('scale', 'shop', 'lots')).code, 2)
    assert.equal((await user.run('rollback', 'shop', '0')).code, 2)
  })

  test('stop waits until nothing runs; with --node a service is controlled on that node alone', async (t) => {
    const { user, node } = await shop(t)
    node.answers['POST /api/deployments/shop/stop'] = { body: status('shop') }
    assert.match((await user.run('stop', 'shop', '--detach')).talk, /^Stopping: shop, everywhere\./)
    const answers = [
      { body: status('shop', { running: 1 }), headers: { 'x-p2p-index': '7' } },
      { body: status('shop', { running: 0 }), headers: { 'x-p2p-index': '8' } },
    ]
    node.answers['GET /api/deployments/shop'] = () => answers.shift() as StubAnswer
    const stopped = await user.run('stop', 'shop')
    assert.equal(stopped.talk, 'Stopped: shop, everywhere. "p2p start shop" runs it again\n')
    assert.equal(node.requests.at(-1)?.path, '/api/deployments/shop?index=7&wait=25s')
    node.answers['POST /api/dashboard/control-service'] = { body: { success: true } }
    assert.equal((await user.run('stop', 'inventory', '--node', 'w1')).talk, 'Stopped: inventory on w1\n')
    assert.equal((await user.run('start', 'inventory', '--node', 'w1')).talk, 'Started: inventory on w1\n')
    assert.equal((await user.run('restart', 'inventory', '--node', 'w1')).talk, 'Restarted: inventory on w1\n')
    assert.deepEqual(
      asked(node, 'POST /api/dashboard/control-service').map(({ body }) => body),
      ['stop', 'start', 'restart'].map((action) => ({ worker_id: 'w1', service_name: 'inventory', action })),
    )
  })

  test('an unknown service is told as the coordinator says it', async (t) => {
    const { user, node } = await shop(t)
    const detail = 'No service shpo was deployed; did you mean shop?'
    node.answers['POST /api/deployments/shpo/scale'] = problem('P2P_DEPLOY_UNKNOWN_SERVICE', 404, { detail })
    const { code, talk } = await user.run('scale', 'shpo', '2')
    assert.equal(code, 1)
    assert.match(talk, /did you mean shop\?\n\(P2P_DEPLOY_UNKNOWN_SERVICE\)/)
  })

  test('remove asks first', async (t) => {
    const { user, node } = await shop(t)
    node.answers['DELETE /api/deployments/shop'] = { status: 204 }
    user.typed = ['n\n']
    assert.equal((await user.run('remove', 'shop')).code, 2)
    assert.equal(asked(node, 'DELETE /api/deployments/shop').length, 0)
    user.typed = []
    assert.match((await user.run('remove', 'shop')).talk, /give --yes/)
    const { code, talk } = await user.run('remove', 'shop', '--yes')
    assert.deepEqual([code, talk], [0, 'Removed: shop\n'])
  })

  test('history shows each generation; --follow the latest change on its way', async (t) => {
    const { user, node } = await shop(t)
    const deployment = {
      generation: 4,
      version: '1.3.0',
      count: 2,
      by: 'person:ada',
      at_ms: NOW_MS - 60_000,
      reason: '',
    }
    const history = [
      { deployment, state: 'failed', reason: 'no disk' },
      { deployment: { ...deployment, generation: 3, reason: 'new prices' }, state: 'succeeded' },
    ]
    node.answers['GET /api/deployments/shop/history'] = { body: { history } }
    const { output } = await user.run('history', 'shop')
    assert.match(output, /^ +4 +1\.3\.0 +failed +2 +1 min ago +person:ada +no disk$/m)
    assert.match(output, /^ +3 +1\.3\.0 +succeeded +2 +1 min ago +person:ada +new prices$/m)
    node.answers['GET /api/deployments/shop/rollout'] = { body: { rollout: ROLLOUT } }
    assert.match((await user.run('history', 'shop', '--follow')).talk, /Done: shop/)
    node.answers['GET /api/deployments/shop/rollout'] = { body: { rollout: { ...SUCCEEDED, state: 'failed' } } }
    const ended = await user.run('history', 'shop', '-f')
    assert.equal(ended.code, 1, 'what has ended is told at once')
    node.answers['GET /api/deployments/shop/rollout'] = { body: {} }
    assert.equal((await user.run('history', 'shop', '-f')).talk, 'No change of shop is on its way\n')
  })
})

function status(service: string, more: object = {}, deployment: object = {}) {
  return {
    deployment: {
      service,
      version: '1.3.0',
      generation: 4,
      is_stopped: false,
      by: 'ada',
      at_ms: NOW_MS,
      reason: '',
      ...deployment,
    },
    healthy: 2,
    running: 2,
    wanted: 2,
    instances: ['w1', 'w2'].map((nodeId) => ({
      node_id: nodeId,
      id: `${service}#1`,
      version: '1.3.0',
      generation: 4,
      state: 'running',
      health: 'healthy',
      restarts: 2,
    })),
    problems: [],
    ...more,
  }
}

suite('p2p drain', () => {
  test('waits at the coordinator until nothing runs there any more', async (t) => {
    const { user, node } = await shop(t)
    node.answers['POST /api/nodes/w1/drain'] = { body: {} }
    const answers = [
      {
        body: { deployments: [status('shop', { problems: ['no other node has disk=ssd'] })] },
        headers: { 'x-p2p-index': '7' },
      },
      { body: { deployments: [status('shop', { instances: [] })] }, headers: { 'x-p2p-index': '8' } },
    ]
    node.answers['GET /api/deployments'] = () => answers.shift() as StubAnswer
    const { code, talk } = await user.run('drain', 'w1')
    assert.equal(code, 0)
    assert.equal(
      talk,
      'Still there: shop (no other node has disk=ssd)\nDrained: w1 can be switched off. "p2p undrain w1" lets services be placed there again\n',
    )
    assert.equal(node.requests.at(-1)?.path, '/api/deployments?index=7&wait=25s')
  })

  test('--detach and Ctrl-C do not wait', async (t) => {
    const { user, node } = await shop(t)
    node.answers['POST /api/nodes/w1/drain'] = { body: {} }
    node.answers['POST /api/nodes/w1/undrain'] = { body: {} }
    assert.equal((await user.run('drain', 'w1', '--detach')).code, 0)
    assert.equal(asked(node, 'GET /api/deployments').length, 0)
    assert.equal((await user.run('undrain', 'w1')).code, 0)
    node.answers['GET /api/deployments'] = () => {
      user.stop.abort(new Error('received SIGINT'))
      return { hangs: true }
    }
    const { code, talk } = await user.run('drain', 'w1')
    assert.equal(code, 130)
    assert.match(talk, /It goes on without this command.*p2p services\n$/)
  })
})

suite('p2p jobs and p2p services', () => {
  test('jobs shows schedule, next and last run', async (t) => {
    const { user, node } = await shop(t)
    const cron = { kind: 'cron', schedule: '0 3 * * *', time_zone: 'Europe/Berlin' }
    const runs = [
      { at_ms: NOW_MS - 7_200_000, node_id: 'w1', state: 'succeeded' },
      { at_ms: NOW_MS - 3_600_000, node_id: 'w2', state: 'failed', exit: 'exit code 3' },
    ]
    node.answers['GET /api/deployments'] = {
      body: {
        deployments: [
          status('shop'),
          status('backup', { job: { next_run_ms: NOW_MS + 3_600_000, runs } }, { job: cron }),
          status('migrate', { job: { runs: [] } }, { job: { kind: 'once' }, is_stopped: true }),
        ],
      },
    }
    const { output } = await user.run('jobs')
    assert.match(output, /^backup +0 3 \* \* \* \(Europe\/Berlin\) +in 1 h +1 h ago +w2 +failed: exit code 3$/m)
    assert.match(output, /^migrate +once, stopped +- +- +- +-$/m)
    assert.doesNotMatch(output, /shop/)
  })

  test('services counts instances over the nodes, and tells problems', async (t) => {
    const { user, node } = await shop(t)
    const record = { version: '1.3.0', status: 'healthy', description: 'Sells', methods: [] }
    const clusterNode = (node_id: string, services: object) => ({ node_id, status: 'alive', services })
    node.answers['GET /cluster/nodes'] = {
      body: {
        nodes: [
          clusterNode('w1', { shop: record, system: record }),
          clusterNode('w2', { shop: record, system: { ...record, status: 'failing', version: '1.2.0' } }),
        ],
      },
    }
    node.answers['GET /api/deployments'] = {
      body: {
        deployments: [
          status('shop', { healthy: 1, problems: ['w2 has no room'] }),
          status('cart', { instances: [] }, { is_stopped: true }),
        ],
      },
    }
    const { output, talk } = await user.run('services')
    assert.match(output, /^cart +stopped +2\/2 +1\.3\.0 +0 +- +-$/m)
    assert.match(output, /^shop +degraded +1\/2 +1\.3\.0 +4 +w1, w2 +Sells$/m)
    assert.match(output, /^system +degraded +1\/2 +1\.2\.0, 1\.3\.0 +- +w1, w2 +Sells$/m)
    assert.equal(talk, 'shop: w2 has no room\n')
    node.answers['GET /api/deployments'] = problem('P2P_HTTP_COORDINATOR_ONLY', 403)
    assert.match((await user.run('services')).output, /^shop +healthy +2\/2/m, 'a worker is asked for what it knows')
  })

  test('on a screen of 80 or 120 columns lists stay in it, and long names can be told apart', async (t) => {
    const { user, node } = await shop(t)
    user.environment = { NO_COLOR: '1' }
    const names = ['worker-of-the-orders-department-frankfurt-17', 'worker-of-the-orders-department-frankfurt-18']
    const long = 'customer-order-fulfilment-and-invoicing'
    const iso = new Date(NOW_MS - 180_000).toISOString()
    const record = { version: '12.40.1-beta.3', status: 'healthy', description: 'Takes orders '.repeat(6), methods: [] }
    const nodes = names.map((node_id) => ({
      node_id,
      role: 'worker',
      status: 'suspected',
      drain: 'drained',
      address: '2001:db8:85a3:1234:5678:8a2e:370:7334',
      port: 8002,
      services: { [long]: record, system: record },
      last_seen: iso,
      metadata: { started_at: iso, version: '3.0.0' },
    }))
    const found = status(long, {
      problems: [`${names[0]}: it ended: Cannot find module "./invoices/templates/german.js" (main.js:1:1)`],
      instances: names.map((node_id, index) => ({
        node_id,
        id: `${long}#${index}`,
        version: '12.40.1-beta.3',
        generation: 112,
        state: 'backoff',
        health: 'failing',
        restarts: 3,
        reason: 'Cannot find module "./invoices/german.js" (main.js:1:1)',
      })),
    })
    const { deployment } = found
    node.answers['GET /cluster/nodes'] = { body: { nodes } }
    node.answers['GET /api/deployments'] = { body: { deployments: [found] } }
    node.answers[`GET /api/deployments/${long}`] = { body: found }
    node.answers[`GET /services/${long}`] = problem('P2P_SERVICE_NOT_FOUND', 404)
    node.answers[`GET /api/deployments/${long}/history`] = {
      body: {
        history: [
          {
            deployment: { ...deployment, by: 'person:margaret@example.org' },
            state: 'rolled-back',
            reason: 'It '.repeat(40),
          },
        ],
      },
    }
    for (const columns of [80, 120]) {
      user.terminal = { columns, rows: 40 }
      const shown: Record<string, string> = {}
      for (const argv of [['nodes'], ['services'], ['history', long]]) {
        const { code, output } = await user.run(...argv)
        assert.equal(code, 0)
        for (const line of output.split('\n')) assert.ok(line.length <= columns, `${columns}: ${line}`)
        shown[argv[0] as string] = output
      }
      assert.match(shown['nodes'] as string, /^worker-of-\S+…\S+frankfurt-17 +worker +suspected, drained +3 min ago/m)
      assert.match(shown['nodes'] as string, /frankfurt-18 /)
      assert.match(shown['services'] as string, /^customer-\S+invoicing +healthy +2\/2 +12\.40\.1-beta\.3/m)
      node.answers['GET /cluster/nodes'] = { body: { nodes: [] } }
      const { output } = await user.run('services', long)
      node.answers['GET /cluster/nodes'] = { body: { nodes } }
      for (const line of output.split('\n')) assert.ok(line.length <= columns, `${columns}: ${line}`)
      assert.match(output, /^custom\S*ing#1 +worker-\S*-18 /m)
    }
  })

  test('services NAME shows every instance, also of one that runs nowhere', async (t) => {
    const { user, node } = await shop(t)
    node.answers['GET /api/deployments/shop'] = { body: status('shop') }
    node.answers['GET /services/shop'] = problem('P2P_SERVICE_NOT_FOUND', 404)
    node.answers['GET /cluster/nodes'] = { body: { nodes: [] } }
    const { code, output } = await user.run('services', 'shop')
    assert.equal(code, 0)
    assert.match(output, /^Instances +2 healthy, 2 running, 2 wanted$/m)
    assert.match(output, /^shop#1 +w2 +1\.3\.0 +4 +running +healthy +2 +-$/m)
    node.answers['GET /api/deployments/shpo'] = problem('P2P_DEPLOY_UNKNOWN_SERVICE', 404)
    node.answers['GET /services/shpo'] = problem('P2P_SERVICE_NOT_FOUND', 404)
    assert.equal((await user.run('services', 'shpo')).code, 2)
  })

  test('services NAME shows where a program listens', async (t) => {
    const { user, node } = await shop(t)
    const shown = status('shop')
    shown.instances = shown.instances.map((each, i) => ({ ...each, ports: { web: 43_210 + i, admin: 9_000 } }))
    node.answers['GET /api/deployments/shop'] = { body: shown }
    node.answers['GET /services/shop'] = problem('P2P_SERVICE_NOT_FOUND', 404)
    node.answers['GET /cluster/nodes'] = { body: { nodes: [] } }
    const { output } = await user.run('services', 'shop')
    assert.match(output, /^INSTANCE .* PORTS +STATE/m)
    assert.match(output, /^shop#1 +w2 .* web 43211, admin 9000 +running/m)
  })

  test('a call of what was deployed and runs nowhere says why, and what to do', async (t) => {
    const { user, node } = await shop(t)
    node.answers['GET /services/shop'] = problem('P2P_SERVICE_NOT_FOUND', 404)
    node.answers['GET /cluster/nodes'] = { body: { nodes: [] } }
    node.answers['GET /api/deployments/shop'] = { body: status('shop', {}, { is_stopped: true }) }
    assert.match(
      (await user.run('call', 'shop/sell', '--param', 'n=1')).talk,
      /runs on no node: it is stopped; p2p start shop/,
    )
    node.answers['GET /api/deployments/shop'] = { body: status('shop') }
    assert.match(
      (await user.run('call', 'shop/sell', '--param', 'n=1')).talk,
      /runs on no node: p2p why shop tells why/,
    )
  })
})

suite('p2p secrets', () => {
  const SECRET = {
    name: 'shop/db',
    version: 2,
    updated_at_ms: NOW_MS - 60_000,
    by: 'person:ada',
    used_by: ['shop', 'cart'],
  }

  test('list shows names and users', async (t) => {
    const { user, node } = await shop(t)
    node.answers['GET /api/secrets'] = { body: { secrets: [SECRET] } }
    assert.match((await user.run('secrets', 'list')).output, /^shop\/db +2 +1 min ago +person:ada +shop, cart$/m)
  })

  test('set takes the value from a prompt or the standard input, and shows it nowhere', async (t) => {
    const { user, node } = await shop(t)
    node.answers['PUT /api/secrets/shop%2Fdb'] = { body: SECRET }
    user.typed = ['hunter2\r']
    const typed = await user.run('secrets', 'set', 'shop/db')
    assert.equal(typed.code, 0, typed.talk)
    assert.match(typed.talk, /Set: shop\/db, version 2; a rollout gives it to shop, cart\n$/)
    user.typed = []
    user.piped = '-----BEGIN KEY-----\nabc\n-----END KEY-----\n'
    const piped = await user.run('secrets', 'set', 'shop/db')
    assert.deepEqual(
      asked(node, 'PUT /api/secrets/shop%2Fdb').map(({ body }) => body),
      [{ value: 'hunter2' }, { value: '-----BEGIN KEY-----\nabc\n-----END KEY-----' }],
    )
    assert.doesNotMatch(typed.talk + typed.output + piped.talk + piped.output, /hunter2|BEGIN KEY/)
  })

  test('an empty or far too long value, or one that is no text, is refused before it is sent', async (t) => {
    const { user, node } = await shop(t)
    for (const [piped, said] of [
      ['\n', /The value is empty; nothing was changed/],
      ['x'.repeat(65_537), /longer than 65536 bytes/],
    ] as const) {
      user.piped = piped
      const { code, talk } = await user.run('secrets', 'set', 'a')
      assert.equal(code, 2)
      assert.match(talk, said)
    }
    const missing = await user.run('secrets', 'set', 'a', '--value-fd', '1023')
    assert.equal(missing.code, 2)
    assert.match(missing.talk, /cannot be read from --value-fd 1023/)
    assert.equal(asked(node, 'PUT /api/secrets/a').length, 0)
  })

  test('delete asks first', async (t) => {
    const { user, node } = await shop(t)
    node.answers['DELETE /api/secrets/shop%2Fdb'] = { status: 204 }
    assert.equal((await user.run('secrets', 'delete', 'shop/db')).code, 2)
    assert.deepEqual((await user.run('secrets', 'delete', 'shop/db', '--yes')).talk, 'Deleted: shop/db\n')
  })
})
