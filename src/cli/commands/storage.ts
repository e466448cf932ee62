import { resolve } from 'node:path'
import { formatBytes } from '../../base/bytes.ts'
import { CliError } from '../../base/errors.ts'
import { loadConfig } from '../../config/index.ts'
import { confirm } from '../confirm.ts'
import type { Unlock } from '../../context/index.ts'
import type { CliHost } from '../host.ts'
import { facts, type OutputFormat, show, showRows } from '../output/show.ts'
import { askNewSecret, askSecret } from '../prompt.ts'
import type { NewKey, StorageAccess, StorageCheck, StorageTools } from '../storage-tools.ts'
import { chooseUnlock, type UnlockFlags } from '../unlock.ts'

interface StorageFlags extends UnlockFlags {
  config: string
  storage?: string
  output: OutputFormat
}

interface Work {
  tools: StorageTools
  access: StorageAccess
}

async function open(host: CliHost, flags: StorageFlags): Promise<Work> {
  const { storagePath, plotFile } = loadConfig({
    file: flags.config,
    workingDirectory: host.workingDirectory,
    storagePath: flags.storage,
  })
  const unlock = await chooseUnlock(host, flags, storagePath)
  return { tools: (await host.loadContext()).createStorageTools(), access: { storagePath, plotFile, unlock } }
}

/** `p2p storage verify` */
export async function verifyStorage(host: CliHost, flags: StorageFlags): Promise<void> {
  const { tools, access } = await open(host, flags)
  await showCheck(host, flags.output, access.storagePath, await tools.verify(access))
}

/** `p2p storage list [PREFIX]` */
export async function listStorage(host: CliHost, prefix: string | undefined, flags: StorageFlags): Promise<void> {
  const { tools, access } = await open(host, flags)
  await showRows(
    host,
    flags.output,
    await tools.list(access, prefix ?? ''),
    [
      { title: 'KEY', value: (row) => row.key },
      { title: 'SIZE', value: (row) => formatBytes(row.sizeBytes), align: 'right' },
      { title: 'REVISION', value: (row) => row.revision, align: 'right' },
    ],
    prefix === undefined ? 'The vault is empty' : `Nothing in the vault begins with ${prefix}`,
  )
}

/** `p2p storage backup FILE` */
export async function backupStorage(host: CliHost, file: string, flags: StorageFlags): Promise<void> {
  const { tools, access } = await open(host, flags)
  const path = resolve(host.workingDirectory, file)
  const { revision, entries, sizeBytes, asOfMs } = await tools.backup(access, path)
  const asOf = new Date(asOfMs).toISOString()
  host.talk.write(
    `Wrote ${path}: ${entries} entries, ${formatBytes(sizeBytes)}, up to commit ${revision}: all that was acknowledged by ${asOf}. ` +
      'It was read back and verified, and opens with what opens the vault\n',
  )
}

/** `p2p storage restore FILE` */
export async function restoreStorage(host: CliHost, file: string, flags: StorageFlags): Promise<void> {
  const { tools, access } = await open(host, flags)
  const { entries } = await tools.restore(access, resolve(host.workingDirectory, file))
  host.talk.write(`Made ${access.storagePath} from ${file}: ${entries} entries\n`)
}

/** `p2p storage repair --to-seq N` */
export async function repairStorage(
  host: CliHost,
  flags: StorageFlags & { toSeq: number; yes?: boolean },
): Promise<void> {
  if (!flags.yes) await confirm(host, `Everything committed after ${flags.toSeq} will be lost. Go on?`, '--yes')
  const { tools, access } = await open(host, flags)
  const { entries, sequence } = await tools.repair(access, flags.toSeq)
  host.talk.write(`${access.storagePath} now ends at commit ${sequence}, with ${entries} entries\n`)
}

interface RekeyFlags extends StorageFlags {
  newPlot?: string
  newPassword?: boolean
  newRecoveryKey?: boolean
}

/** `p2p storage rekey` */
export async function rekeyStorage(host: CliHost, flags: RekeyFlags): Promise<void> {
  const asked = [flags.newPlot !== undefined, flags.newPassword === true, flags.newRecoveryKey === true].filter(
    Boolean,
  ).length
  if (asked !== 1)
    throw new CliError('P2P_CLI_USAGE', 'Give one of --new-plot FILE, --new-password and --new-recovery-key')
  const { tools, access } = await open(host, flags)
  const recoveryKey = await tools.rekey(access, await newKey(host, flags))
  if (recoveryKey !== undefined) {
    host.talk.write('New recovery key, shown this once; the old one opens nothing any more:\n')
    host.output.write(`${recoveryKey}\n`)
  } else
    host.talk.write(
      `From now on ${flags.newPlot === undefined ? 'the new password' : flags.newPlot} opens ${access.storagePath}\n`,
    )
}

async function newKey(host: CliHost, flags: RekeyFlags): Promise<NewKey> {
  if (flags.newPlot !== undefined) return { kind: 'plot', plotFile: resolve(host.workingDirectory, flags.newPlot) }
  if (flags.newRecoveryKey) return { kind: 'recovery' }
  const password = host.environment.P2P_NEW_PASSWORD || (await askNewSecret(host, 'New password of the vault'))
  return { kind: 'password', password }
}

interface ImportFlags extends StorageFlags {
  archivePlot?: string
  archivePassword?: boolean
}

/** `p2p storage import ARCHIVE` */
export async function importArchive(host: CliHost, archive: string, flags: ImportFlags): Promise<void> {
  if (flags.archivePlot !== undefined && flags.archivePassword) {
    throw new CliError('P2P_CLI_USAGE', '--archive-plot and --archive-password exclude each other; give one of them')
  }
  const { tools, access } = await open(host, flags)
  const source = {
    file: resolve(host.workingDirectory, archive),
    unlock: await archiveUnlock(host, flags),
    plotFile: flags.archivePlot === undefined ? access.plotFile : resolve(host.workingDirectory, flags.archivePlot),
  }
  const { imported, recoveryKey } = await tools.importArchive(access, source)
  await showRows(
    host,
    flags.output,
    imported,
    [
      { title: 'FILE', value: (row) => row.from },
      { title: 'ENTRY', value: (row) => row.to },
      { title: 'SIZE', value: (row) => formatBytes(row.sizeBytes), align: 'right' },
    ],
    'The archive is empty',
  )
  if (recoveryKey !== undefined) {
    host.talk.write(`Made ${access.storagePath}. Its recovery key, shown this once:\n  ${recoveryKey}\n`)
  }
}

async function archiveUnlock(host: CliHost, flags: ImportFlags): Promise<Unlock> {
  const { P2P_ARCHIVE_PASSWORD: fromEnvironment } = host.environment
  if (flags.archivePlot !== undefined || (!flags.archivePassword && !fromEnvironment)) return { kind: 'plot' }
  return { kind: 'password', password: fromEnvironment || (await askSecret(host, 'Password of the archive')) }
}

function showCheck(host: CliHost, output: OutputFormat, path: string, check: StorageCheck): Promise<void> {
  return show(host, output, { path, ...check }, () =>
    facts(host, [
      ['Vault', path],
      ['State', 'whole: every record was read and is authentic'],
      ['Last commit', check.sequence],
      ['Entries', check.entries],
      ['Size', formatBytes(check.sizeBytes)],
      [
        'Torn end',
        check.tornBytes === 0
          ? undefined
          : `${check.tornBytes} bytes of an unfinished commit; cut off at the next start`,
      ],
    ]),
  )
}
