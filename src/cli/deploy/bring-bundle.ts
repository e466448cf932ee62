import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatBytes } from '../../base/bytes.ts'
import type { PackedBundle } from '../../deploy/index.ts'
import type { CliHost } from '../host.ts'
import { createLiveText } from '../output/live-text.ts'
import { progressBar } from '../output/progress-bar.ts'
import { plain } from '../output/style.ts'
import type { Session } from '../session/connect.ts'
import { uploadBundle } from '../session/upload-bundle.ts'

/** A bundle the coordinator has. */
export interface BroughtBundle {
  digest: string
  service: string
  version: string
}

/**
 * Packs a service's folder and brings it to the coordinator, from where an earlier try ended.
 * @returns undefined when the person interrupted it
 * @throws {P2PError} why the folder cannot be packed, or the bundle is not taken
 */
export async function bringBundle(host: CliHost, session: Session, folder: string): Promise<BroughtBundle | undefined> {
  const { packBundle } = await import('../../deploy/index.ts')
  return bring(host, session, (file, signal) => packBundle(folder, file, { signal }))
}

/**
 * Packs the program's tarball and brings it to the coordinator likewise.
 * @param isWanted asked before anything is sent
 * @returns undefined when it is not wanted, or the person interrupted it
 * @throws {P2PError} why the tarball cannot be used, or is not taken
 */
export async function bringProgram(
  host: CliHost,
  session: Session,
  tarball: string,
  isWanted: (version: string) => Promise<boolean>,
): Promise<BroughtBundle | undefined> {
  const { packProgram } = await import('../../deploy/index.ts')
  return bring(host, session, (file, signal) => packProgram(tarball, file, signal), isWanted)
}

async function bring(
  host: CliHost,
  session: Session,
  pack: (file: string, signal: AbortSignal) => Promise<PackedBundle>,
  isWanted?: (version: string) => Promise<boolean>,
): Promise<BroughtBundle | undefined> {
  const temporary = mkdtempSync(join(tmpdir(), 'p2p-bundle-'))
  const interruption = host.interruption()
  const { signal } = interruption
  try {
    const file = join(temporary, 'bundle')
    const { digest, sizeBytes, manifest } = await pack(file, signal)
    const { service, version, files } = manifest
    const count = `${files.length} ${files.length === 1 ? 'file' : 'files'}`
    host.talk.write(`Packed ${plain(service)} ${plain(version)}: ${count}, ${formatBytes(sizeBytes)}\n`)
    if (isWanted && !(await isWanted(version))) return undefined
    const view = uploadView(host, sizeBytes)
    const wasSent = await uploadBundle(session, {
      file,
      digest,
      sizeBytes,
      signal,
      pause: host.pause,
      wallMs: () => host.wallMs(),
      onProgress: view.progress,
      onLost: view.lost,
    })
    if (!wasSent) host.talk.write('The coordinator has this bundle already\n')
    return { digest, service, version }
  } catch (error) {
    if (!signal.aborted) throw error
    host.talk.write('Interrupted: nothing was deployed. The same command goes on with the upload where it is\n')
    return undefined
  } finally {
    interruption.dispose()
    rmSync(temporary, { recursive: true, force: true })
  }
}

const BAR_WIDTH = 24

/** A bar on a terminal; elsewhere a line for each quarter. */
function uploadView(
  host: CliHost,
  sizeBytes: number,
): { progress: (sentBytes: number) => void; lost: (why: string) => void } {
  const textOf = (sent: number): string =>
    `${Math.floor((100 * sent) / sizeBytes)} %, ${formatBytes(sent)} of ${formatBytes(sizeBytes)}`
  if (host.talk.isTTY && host.environment.TERM !== 'dumb') {
    const live = createLiveText(host.talk)
    let line = ''
    return {
      progress(sent) {
        line = `Uploading  ${progressBar(sent / sizeBytes, BAR_WIDTH)}  ${textOf(sent)}\n`
        live.draw(line)
      },
      lost: (why) => live.draw(`${line}${plain(why)}; trying again\n`),
    }
  }
  let quarter = 0
  return {
    progress(sent) {
      const reached = Math.floor((4 * sent) / sizeBytes)
      if (reached > quarter) host.talk.write(`Uploading: ${textOf(sent)}\n`)
      quarter = Math.max(quarter, reached)
    },
    lost: (why) => void host.talk.write(`${plain(why)}; trying again\n`),
  }
}
