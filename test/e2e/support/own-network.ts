/*
 * A process that imports this has a network of its own, with nothing in it but loopback. What other tests do to the
 * interfaces of this machine does not reach it (a browser cuts its connections whenever an address comes or goes), and
 * the interfaces that it makes go when it ends, however it ends.
 */
import { execFileSync } from 'node:child_process'
import { isLeftOut } from './left-out.ts'

const MARK = 'P2P_TEST_OWN_NETWORK'

function canHaveOne(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0 && !isLeftOut('network namespaces')
}

if (process.env[MARK] === undefined && canHaveOne()) {
  // The same process, before it has done anything else: whoever started it sees no difference.
  process.execve?.(
    '/usr/bin/unshare',
    ['unshare', '--net', process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    { ...process.env, [MARK]: `${process.pid}` },
  )
}
// Those it starts have the same one.
if (process.env[MARK] === `${process.pid}`) execFileSync('ip', ['link', 'set', 'lo', 'up'])
