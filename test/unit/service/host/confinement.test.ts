import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type Confinement,
  confinedCommand,
  confinementGap,
  nodePermissionArgs,
} from '../../../../src/service/host/confinement.ts'

const CONFINEMENT: Confinement = {
  permissions: { net: false, childProcess: false, read: [], write: [] },
  folder: '/srv/shop',
  dataDirectory: '/state/services/shop/data',
  stateDirectory: '/state',
  program: ['/app/dist'],
}
const BARE = { setpriv: undefined, bwrap: undefined }
const others = ['/tmp', '/home']

function granted(permissions: Partial<Confinement['permissions']>): Confinement {
  return { ...CONFINEMENT, permissions: { ...CONFINEMENT.permissions, ...permissions } }
}

describe("Node's permission model", () => {
  test('lets a service read its folder, the program and its data, and write its data', () => {
    assert.deepEqual(nodePermissionArgs(CONFINEMENT), [
      '--permission',
      '--allow-fs-read=/srv/shop',
      '--allow-fs-read=/state/services/shop/data',
      '--allow-fs-read=/app/dist',
      '--allow-fs-write=/state/services/shop/data',
    ])
  })

  test('gives what was granted, and native code only with programs', () => {
    const args = nodePermissionArgs(granted({ net: true, read: ['/'], write: ['/var/out'] }))
    assert.ok(args.includes('--allow-net') && args.includes('--allow-fs-read=*'))
    assert.ok(args.includes('--allow-fs-read=/var/out') && args.includes('--allow-fs-write=/var/out'))
    assert.equal(args.includes('--allow-addons') || args.includes('--allow-worker'), false)
    const programs = nodePermissionArgs(granted({ childProcess: true }))
    assert.ok(programs.includes('--allow-child-process') && programs.includes('--allow-addons'))
    assert.equal(programs.includes('--allow-net'), false)
  })
})

describe('the command of a service', () => {
  test('is left as it is where the machine has nothing, and dies with the node where it has setpriv', () => {
    const command = ['/usr/bin/node', 'x.js']
    assert.deepEqual(confinedCommand(command, CONFINEMENT, { tools: BARE, others }), command)
    const tools = { ...BARE, setpriv: '/usr/bin/setpriv' }
    assert.deepEqual(confinedCommand(command, CONFINEMENT, { tools, others }), [
      '/usr/bin/setpriv',
      '--pdeathsig',
      'KILL',
      '--',
      ...command,
    ])
  })

  const sandboxed = (confinement: Confinement): string =>
    ` ${confinedCommand(['/bin/x'], confinement, { tools: { ...BARE, bwrap: '/usr/bin/bwrap' }, others }).join(' ')} `

  test('in a sandbox sees neither others nor the network nor what the node keeps, but its own data', () => {
    const command = sandboxed(CONFINEMENT)
    for (const part of ['--die-with-parent', '--unshare-pid', '--unshare-net', '--tmpfs /home', '--tmpfs /state']) {
      assert.ok(command.includes(` ${part} `), part)
    }
    const hidden = command.indexOf('--tmpfs /state ')
    assert.ok(
      command.indexOf('--bind-try /state/services/shop/data') > hidden,
      'what is shown comes after what hides it',
    )
    assert.ok(command.endsWith(' --chdir /srv/shop -- /bin/x '))
  })

  test('sees what was granted, and the processes of the machine only with /proc', () => {
    assert.equal(sandboxed(granted({ net: true })).includes('--unshare-net'), false)
    assert.ok(
      sandboxed(granted({ read: ['/home/ada/books'] })).includes(' --ro-bind-try /home/ada/books /home/ada/books '),
    )
    assert.ok(sandboxed(granted({ write: ['/home/ada/out'] })).includes(' --bind-try /home/ada/out /home/ada/out '))
    assert.ok(sandboxed(granted({ read: ['/home/ada'] })).includes('--unshare-pid'))
    assert.equal(sandboxed(granted({ read: ['/proc'] })).includes('--unshare-pid'), false)
    const all = sandboxed(granted({ read: ['/'] }))
    assert.equal(all.includes('--tmpfs /home'), false)
    assert.ok(all.includes('--tmpfs /state'), 'what the node keeps stays hidden')
  })

  test('is not held back silently', () => {
    assert.match(confinementGap('exec', BARE, 'linux') ?? '', /not enforced; install bubblewrap/)
    assert.match(confinementGap('process', BARE, 'darwin') ?? '', /by Node\.js only/)
    assert.match(confinementGap('thread', { ...BARE, bwrap: '/b' }, 'linux') ?? '', /shares the node's rights/)
    assert.equal(confinementGap('process', { ...BARE, bwrap: '/b' }, 'linux'), undefined)
  })
})
