import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs'
import { join, sep } from 'node:path'

/** Deeper than any sensible source tree. */
const DEPTH_MAX = 32
/** Each costs the system a little; a service with more has something in its folder that is not its own. */
const DIRECTORIES_MAX = 1_024
/** What editors leave beside a file while they save it, and what does not run. */
const UNIMPORTANT = /^\.|~$|\.sw[a-z]$|\.tmp$|\.(test|spec)\.[^.]+$/

/**
 * Tells of every change of a service's own files: packages, tests and names that begin with a dot are none. A change may be
 * told more than once.
 * @param onChange gets the path of what has changed
 * @returns a function that ends it
 */
export function watchFolder(folder: string, onChange: (path: string) => void): () => void {
  const watchers = new Map<string, FSWatcher>()
  const look = (directory: string, depth: number): void => {
    if (depth > DEPTH_MAX || watchers.size >= DIRECTORIES_MAX || watchers.has(directory)) return
    const watcher = watch(directory, (event, name) => {
      if (name === null || isUnimportant(name)) return
      const path = join(directory, name)
      // A directory that has come may have the name of one that has gone.
      if (event === 'rename') forget(path)
      if (isDirectory(path)) lookIfThere(path, depth + 1)
      onChange(path)
    })
    watchers.set(directory, watcher)
    // The directory is gone, or cannot be watched any more: what is left is.
    watcher.on('error', () => forget(directory))
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.isDirectory() && !isUnimportant(entry.name)) look(join(directory, entry.name), depth + 1)
    }
  }
  const lookIfThere = (directory: string, depth: number): void => {
    try {
      look(directory, depth)
    } catch (error) {
      // What has gone again in the meantime was nothing.
      if (isDirectory(directory)) throw error
    }
  }
  const forget = (directory: string): void => {
    for (const [path, watcher] of watchers) {
      if (path !== directory && !path.startsWith(directory + sep)) continue
      watcher.close()
      watchers.delete(path)
    }
  }
  look(folder, 0)
  return () => {
    for (const watcher of watchers.values()) watcher.close()
    watchers.clear()
  }
}

function isUnimportant(name: string): boolean {
  return name === 'node_modules' || UNIMPORTANT.test(name)
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
