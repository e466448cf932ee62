/** What Node calls the permission that was missing → what `manifest.json` calls it. */
const MEMBERS: Readonly<Record<string, string>> = {
  FileSystemRead: '"read"',
  FileSystemWrite: '"write"',
  ChildProcess: '"childProcess": true',
  WorkerThreads: '"childProcess": true',
  Addon: '"childProcess": true',
  Net: '"net": true',
}
/** As fetch says that it failed, and of what. */
const CAUSES_MAX = 4

/** What to do about an error of Node's permission model, or one that it caused; undefined for any other error. */
export function permissionRemedy(error: unknown): string | undefined {
  let denied = error
  for (let i = 0; i < CAUSES_MAX && !isDenied(denied); i++) denied = denied instanceof Error ? denied.cause : undefined
  if (!isDenied(denied)) return undefined
  const { permission, resource } = denied
  // A refused connection comes without the name of what was missing.
  const member = typeof permission === 'string' ? MEMBERS[permission] : '"net": true'
  const what = typeof resource === 'string' && resource !== '' ? ` for ${resource}` : ''
  return member && `Ask for it in manifest.json: "permissions": { ${member}${what} }`
}

function isDenied(error: unknown): error is { permission?: unknown; resource?: unknown } {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_ACCESS_DENIED'
}
