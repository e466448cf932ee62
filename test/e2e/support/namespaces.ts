import { execFileSync } from 'node:child_process'
import type { TestContext } from 'node:test'

/** A test host: a network namespace of its own with one leg into its own subnet. */
export interface TestHost {
  name: string
  address: string
  /** Put in front of a command to run it on this host. */
  prefix: string[]
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/**
 * `count` hosts on as many subnets (10.77.N.0/24), joined by a router. Everything is removed after the test.
 * Needs root on Linux; `isLeftOut` tells whether the test run already named namespaces as left out.
 */
export function makeHosts(t: TestContext, count: number): TestHost[] {
  const id = `p2p${process.pid % 100_000}`
  const router = `${id}r`
  const names = [router]
  t.after(() => {
    for (const name of names) {
      try {
        ip('netns', 'delete', name)
      } catch {
        // It was never made, or is gone already.
      }
    }
  })
  ip('netns', 'add', router)
  ip('-n', router, 'link', 'set', 'lo', 'up')
  execFileSync('ip', ['netns', 'exec', router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1'])
  const hosts: TestHost[] = []
  for (let index = 1; index <= count; index++) {
    const name = `${id}h${index}`
    names.push(name)
    ip('netns', 'add', name)
    ip('-n', name, 'link', 'set', 'lo', 'up')
    ip('link', 'add', 'eth0', 'netns', name, 'type', 'veth', 'peer', 'name', `leg${index}`, 'netns', router)
    ip('-n', router, 'addr', 'add', `10.77.${index}.1/24`, 'dev', `leg${index}`)
    ip('-n', router, 'link', 'set', `leg${index}`, 'up')
    ip('-n', name, 'addr', 'add', `10.77.${index}.2/24`, 'dev', 'eth0')
    ip('-n', name, 'link', 'set', 'eth0', 'up')
    ip('-n', name, 'route', 'add', 'default', 'via', `10.77.${index}.1`)
    hosts.push({ name, address: `10.77.${index}.2`, prefix: ['ip', 'netns', 'exec', name] })
  }
  return hosts
}

export function isLeftOut(part: string): boolean {
  return (process.env['P2P_TEST_LEFT_OUT'] ?? '').split(',').includes(part)
}
