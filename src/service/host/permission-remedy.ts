/** What Node calls the permission that was missing → what `manifest.json` calls it. */
const MEMBERS: Readonly<Record<string, string>> = {
  FileSystemRead: '"read"',
  FileSystemWrite: '"write"',
  ChildProcess: '"childProcess": true',
  WorkerThreads: '"childProcess": true',
  Addon: '"childProcess": true',
  Net: '"net": true',
}

/**
 * What to do about an error of Node's permission model.
 * @returns a sentence with a space before it; empty for any other error
 */
export function permissionRemedy(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { code, permission, resource } = error as { code?: unknown; permission?: unknown; resource?: unknown }
  if (code !== 'ERR_ACCESS_DENIED') return ''
  // A refused connection comes without the name of what was missing.
  const member = typeof permission === 'string' ? MEMBERS[permission] : '"net": true'
  const what = typeof resource === 'string' && resource !== '' ? ` for ${resource}` : ''
  return member === undefined ? '' : `. Ask for it in manifest.json: "permissions": { ${member}${what} }`
}
