import { type FSWatcher, watch } from 'node:fs'

/** Events that come within this time are told as one change: saving one file makes several. */
const GATHER_MS = 200
const NAMES_MAX = 20

/**
 * Tells what changes directly inside a folder, by the system's own notifications.
 * @param onChange gets the names that changed, at most 20
 * @param onEnd told when the folder can no longer be watched
 * @returns ends it
 * @throws when the folder cannot be watched (ENOENT, EACCES, ENOSPC: out of inotify watches)
 */
export function watchFolder(path: string, onChange: (names: string[]) => void, onEnd: () => void): () => void {
  const names = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  const tell = (): void => {
    timer = undefined
    const gathered = [...names].sort()
    names.clear()
    onChange(gathered)
  }
  const watcher: FSWatcher = watch(path, { persistent: false }, (_event, name) => {
    if (name !== null && names.size < NAMES_MAX) names.add(name)
    timer ??= setTimeout(tell, GATHER_MS).unref()
  })
  const end = (): void => {
    clearTimeout(timer)
    watcher.close()
  }
  watcher.once('error', () => {
    end()
    onEnd()
  })
  return end
}
