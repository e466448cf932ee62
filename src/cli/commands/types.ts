import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { findService } from '../session/find-service.ts'
import type { ClusterNodes } from '../session/wire.ts'
import { clientTypes } from '../typescript/client-types.ts'

type Flags = ConnectionFlags & { file?: string; check?: boolean }

const CHANGED = 3

/**
 * `p2p types`: writes TypeScript types of the services that run in the cluster.
 * @returns 3 with `--check` when the file is not what would be written
 */
export async function writeTypes(host: CliHost, names: string[], flags: Flags): Promise<number> {
  const session = await connect(host, flags)
  const text = clientTypes(await chosenServices(session, names), `cluster ${session.login.cluster}`)
  if (flags.file === undefined) {
    if (flags.check === true) throw new CliError('P2P_CLI_USAGE', '--check needs --file: the file to compare with')
    host.output.write(text)
    return 0
  }
  const path = resolve(host.workingDirectory, flags.file)
  if (existsSync(path) && readFileSync(path, 'utf8') === text) {
    host.talk.write(`${flags.file} is up to date\n`)
    return 0
  }
  if (flags.check === true) {
    host.talk.write(`${flags.file} differs from what runs in the cluster: run "p2p types --file ${flags.file}"\n`)
    return CHANGED
  }
  writeFileSync(path, text)
  host.talk.write(`${flags.file} written\n`)
  return 0
}

async function chosenServices(session: Awaited<ReturnType<typeof connect>>, names: readonly string[]) {
  if (names.length > 0) return Promise.all(names.map((name) => findService(session, name)))
  const { nodes } = await session.call<ClusterNodes>({ method: 'GET', path: '/cluster/nodes' })
  const running = nodes
    .filter(({ status }) => status === 'alive')
    .flatMap(({ services }) => Object.entries(services))
    // What has no methods, such as a program of another language, has no types.
    .filter(([, { methods }]) => methods.length > 0)
    .map(([name]) => name)
  return Promise.all([...new Set(running)].map((name) => findService(session, name)))
}
