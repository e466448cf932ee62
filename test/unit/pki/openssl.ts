import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** For `test(…, { skip })`: false when the openssl program is there. */
export const skipWithoutOpenssl: string | false = probe()

/** Runs openssl in a directory of its own that holds the given files. @returns stdout and stderr, and whether it exited with 0 */
export function openssl(args: string[], files: Record<string, string | Uint8Array>): { ok: boolean; output: string } {
  const directory = mkdtempSync(join(tmpdir(), 'p2p-pki-'))
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
    return { ok: true, output: execFileSync('openssl', args, { cwd: directory, encoding: 'utf8', stdio: 'pipe' }) }
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    return { ok: false, output: `${stdout ?? ''}${stderr ?? ''}` }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function probe(): string | false {
  try {
    execFileSync('openssl', ['version'], { stdio: 'pipe' })
    return false
  } catch {
    return 'openssl is not installed'
  }
}
