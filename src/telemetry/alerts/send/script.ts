import { spawn } from 'node:child_process'
import { basename } from 'node:path'
import type { AlertSender } from './alert-sender.ts'

/** What is kept of its output, for the reason when it fails. */
const OUTPUT_CHARACTERS_MAX = 500

/**
 * Runs a program, without a shell and without arguments, with the message as JSON on its standard input. Exit code 0 says that it was
 * taken. It gets PATH, HOME and LANG of the node's environment and nothing else: no secret is in it. When it takes too long it is
 * killed with all it started.
 */
export function createScript({ path }: { path: string }): AlertSender {
  return {
    name: `script ${basename(path)}`,
    send: (message, signal) =>
      new Promise((resolve, reject) => {
        const { PATH, HOME, LANG } = process.env
        // Its own process group, so that nothing of it is left.
        const child = spawn(path, [], {
          stdio: ['pipe', 'ignore', 'pipe'],
          env: { PATH, HOME, LANG },
          detached: true,
        })
        let output = ''
        const kill = (): void => {
          if (child.pid !== undefined) endGroup(child.pid)
          // What it started may hold the pipe open.
          child.stderr.destroy()
        }
        signal.addEventListener('abort', kill, { once: true })
        child.stderr.setEncoding('utf8').on('data', (text: string) => {
          output = (output + text).slice(0, OUTPUT_CHARACTERS_MAX)
        })
        // It may end without reading.
        child.stdin.on('error', () => {})
        child.once('error', (error) => {
          signal.removeEventListener('abort', kill)
          reject(error)
        })
        child.once('exit', (code, killedBy) => {
          signal.removeEventListener('abort', kill)
          child.stderr.destroy()
          if (signal.aborted) reject(signal.reason as Error)
          else if (code === 0) resolve()
          else {
            const how = killedBy === null ? `ended with exit code ${code}` : `was ended by ${killedBy}`
            reject(new Error(`${basename(path)} ${how}${output.trim() && `: ${output.trim()}`}`))
          }
        })
        if (signal.aborted) kill()
        child.stdin.end(`${JSON.stringify(message)}\n`)
      }),
  }
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}
