import { dirname, join } from 'node:path'
import { utf8 } from '../base/bytes.ts'
import type { Files } from '../base/files.ts'
import { formatHostJoinSecret, type HostJoinSecret, parseHostJoinSecret } from '../pki/index.ts'

/** With what the user who runs a coordinator logs in, in `operator.json`. */
export interface OperatorFile {
  url: string
  cluster: string
  /** Root certificate, PEM. */
  ca_certificate: string
  credential: string
}

const OPERATOR_FILE = 'operator.json'
const HOST_JOIN_FILE = 'host-join.secret'

export function operatorFilePath(stateDirectory: string): string {
  return join(stateDirectory, OPERATOR_FILE)
}

/** @returns undefined when there is none, or it cannot be read as one: the coordinator then writes a new one */
export async function readOperatorFile(files: Files, stateDirectory: string): Promise<OperatorFile | undefined> {
  try {
    return JSON.parse(Buffer.from(await files.readFile(operatorFilePath(stateDirectory))).toString('utf8'))
  } catch {
    return undefined
  }
}

export async function writeOperatorFile(files: Files, stateDirectory: string, content: OperatorFile): Promise<void> {
  await writePrivately(files, operatorFilePath(stateDirectory), `${JSON.stringify(content, null, 2)}\n`)
}

/** For workers of the same user on this host; written anew at every start of a coordinator. */
export async function writeHostJoinSecret(files: Files, stateDirectory: string, secret: HostJoinSecret): Promise<void> {
  await writePrivately(files, join(stateDirectory, HOST_JOIN_FILE), formatHostJoinSecret(secret))
}

/**
 * The join secret of a coordinator whose state directory lies beside this node's, as in the Python program's `data/coordinator`
 * and `data/worker`; of several the newest. A file that others may write or read is not trusted.
 */
export async function findHostJoinSecret(files: Files, stateDirectory: string): Promise<HostJoinSecret | undefined> {
  const parent = dirname(stateDirectory)
  const siblings = await files.list(parent).catch(() => [])
  const found: { path: string; modifiedMs: number }[] = []
  for (const name of siblings) {
    const path = join(parent, name, HOST_JOIN_FILE)
    const facts = await files.facts(path).catch(() => undefined)
    if (facts && (facts.mode & 0o077) === 0) found.push({ path, modifiedMs: facts.modifiedMs })
  }
  const newest = found.toSorted((a, b) => b.modifiedMs - a.modifiedMs)[0]
  if (!newest) return undefined
  return parseHostJoinSecret(Buffer.from(await files.readFile(newest.path)).toString('utf8'))
}

/** Replaces the file as a whole, readable by its owner only. */
async function writePrivately(files: Files, path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  await files.remove(temporary).catch(() => {})
  const file = await files.open(temporary, 'wx')
  try {
    await file.write(0, utf8(text))
    await file.sync()
  } finally {
    await file.close()
  }
  await files.rename(temporary, path)
  await files.syncDirectory(dirname(path))
}
