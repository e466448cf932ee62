import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { formatBytes } from '../../base/bytes.ts'
import { CliError, messageOf } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { plain } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { archiveOf } from '../support/archive.ts'
import { bundleParts } from '../support/bundle-parts.ts'

interface SupportFlags extends ConnectionFlags {
  file?: string
  lines: number
}

/** `p2p support-bundle`: its own file's name is what it prints, so that a script can take it on. */
export async function supportBundle(host: CliHost, { file, lines, ...flags }: SupportFlags): Promise<void> {
  const session = await connect(host, flags)
  const wallMs = host.wallMs()
  const time = new Date(wallMs).toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')
  const folder = `p2p-support-${time}`
  const path = resolve(host.workingDirectory, file ?? `${folder}.tar.gz`)
  const parts = await bundleParts(session, { lines, wallMs, onPart: (name) => progress(host, name) })
  if (host.talk.isTTY) host.talk.write('\r\u001B[K')
  const bytes = await archiveOf(folder, parts.files, wallMs)
  try {
    // Whoever reads it learns much of the cluster; and what is there already may be somebody's only copy.
    writeFileSync(path, bytes, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw new CliError('P2P_CLI_USAGE', `${path} cannot be written: ${messageOf(error)}; choose another by --file`)
  }
  for (const { name, why } of parts.missing) host.talk.write(`Left out: ${plain(name)}: ${plain(why)}\n`)
  host.talk.write(
    `${parts.files.length} files, ${formatBytes(bytes.length)}. Secrets were replaced; look through it before you hand it on.\n`,
  )
  host.output.write(`${path}\n`)
}

function progress({ talk }: CliHost, name: string): void {
  if (talk.isTTY) talk.write(`\r\u001B[K${plain(name)} …`)
}
