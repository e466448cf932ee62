import { dirname } from 'node:path'
import { utf8 } from '../base/bytes.ts'
import { StorageError } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import type { Random } from '../base/random.ts'
import { isDiskFull, systemCode } from '../base/system-failure.ts'
import { plotFingerprint, plotPassword } from './key-derivation.ts'
import { diskFull } from './vault-file.ts'
import { checkPlot, generatePlot, PLOT_CHARACTERS } from './vault/plot.ts'

/** A plot that was read and checked, with what was derived from it. */
export interface Plot {
  path: string
  /** 100 characters: the secret of the vault's plot slot, and the root of the join key. */
  password: string
  /** Sixteen hex digits in groups of four, safe to show: equal on nodes that share the plot. */
  fingerprint: string
}

/** Steps of {@link createPlot}, in order. The derivation takes a moment (PBKDF2), the others next to nothing. */
export type PlotStep = 'generating' | 'checking' | 'writing' | 'deriving'

export interface CreatePlotOptions {
  path: string
  /** Told of each step as it begins. */
  onProgress?: (step: PlotStep) => void
  signal?: AbortSignal
}

/**
 * Makes a new plot file, readable by its owner only, and derives its password.
 * @throws {StorageError} P2P_STORAGE_EXISTS: never replaces a file; P2P_STORAGE_FULL
 */
export async function createPlot(
  { files, random }: { files: Files; random: Random },
  { path, onProgress = () => {}, signal }: CreatePlotOptions,
): Promise<Plot> {
  signal?.throwIfAborted()
  onProgress('generating')
  const text = generatePlot(random)
  onProgress('checking')
  checkPlot(text, path)
  onProgress('writing')
  await writePlot(files, path, text)
  signal?.throwIfAborted()
  onProgress('deriving')
  return derivePlot(path, text)
}

/**
 * Reads a plot file and derives its password.
 * @throws {StorageError} as {@link readPlot}
 */
export async function openPlot(files: Files, path: string): Promise<Plot> {
  return derivePlot(path, await readPlot(files, path))
}

/**
 * The text of a plot file, checked.
 * @throws {StorageError} P2P_STORAGE_PLOT_MISSING, P2P_STORAGE_PLOT_PERMISSIONS, P2P_STORAGE_PLOT_INVALID
 */
export async function readPlot(files: Files, path: string): Promise<string> {
  const facts = await files.facts(path)
  if (!facts) throw new StorageError('P2P_STORAGE_PLOT_MISSING', `There is no plot at ${path}`, { path })
  if ((facts.mode & 0o077) !== 0) throw exposed(path, facts.mode)
  if (facts.sizeBytes !== PLOT_CHARACTERS) {
    const message = `${path} is not a plot: it has ${facts.sizeBytes} bytes and must have ${PLOT_CHARACTERS}. Put back the plot from its backup, byte for byte`
    throw new StorageError('P2P_STORAGE_PLOT_INVALID', message, { path, bytes: facts.sizeBytes })
  }
  const text = Buffer.from(await files.readFile(path)).toString('latin1')
  checkPlot(text, path)
  return text
}

/**
 * Writes a plot into a new file (mode 0600) and makes it durable before anything is encrypted with it.
 * @throws {StorageError} P2P_STORAGE_EXISTS, P2P_STORAGE_FULL
 */
export async function writePlot(files: Files, path: string, text: string): Promise<void> {
  await files.makeDirectory(dirname(path))
  try {
    const file = await files.open(path, 'wx')
    try {
      await file.write(0, utf8(text))
      await file.sync()
    } catch (error) {
      await files.remove(path)
      throw error
    } finally {
      await file.close()
    }
    await files.syncDirectory(dirname(path))
  } catch (error) {
    if (isDiskFull(error)) throw diskFull(path, error)
    if (systemCode(error) !== 'EEXIST') throw error
    const message = `${path} exists already. A vault may depend on it: move it away only if you are sure that none does`
    throw new StorageError('P2P_STORAGE_EXISTS', message, { path })
  }
}

async function derivePlot(path: string, text: string): Promise<Plot> {
  const password = await plotPassword(text)
  return { path, password, fingerprint: plotFingerprint(password) }
}

function exposed(path: string, mode: number): StorageError {
  const shown = mode.toString(8)
  const message = `${path} is open to other users (mode ${shown}): whoever reads it can open the vault and join the cluster. Close it: chmod 600 ${path}`
  return new StorageError('P2P_STORAGE_PLOT_PERMISSIONS', message, { path, mode: shown })
}
