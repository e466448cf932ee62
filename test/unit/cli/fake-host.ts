import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { type CliHost, type ContextEntry, runCli } from '../../../src/cli/index.ts'

/** 2026-01-02 03:04:05 UTC. */
export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

export interface Outcome {
  code: number
  output: string
  talk: string
}

/** A user with a folder and a home of their own, who types command lines. */
export interface FakeUser {
  folder: string
  home: string
  environment: Record<string, string | undefined>
  /** What the terminal types at each prompt; without any there is no terminal. */
  typed: string[]
  /** Keys that are pressed while a command waits, one each time. */
  keys: string[]
  nowMs: number
  /** What the output is written to; without it a pipe. */
  terminal: { columns: number; rows: number } | undefined
  /** What talk is written to; without it a pipe. */
  talkTerminal: { columns: number; rows: number } | undefined
  /** What the standard input holds when it is no terminal. */
  piped: string | undefined
  context: Partial<ContextEntry>
  toParent: object[] | undefined
  stop: AbortController
  run(...argv: string[]): Promise<Outcome>
}

export function fakeUser(t: TestContext): FakeUser {
  const root = mkdtempSync(join(tmpdir(), 'p2p-cli-'))
  t.after(() => rmSync(root, { recursive: true }))
  const user: FakeUser = {
    folder: root,
    home: join(root, 'home'),
    environment: {},
    typed: [],
    keys: [],
    nowMs: NOW_MS,
    terminal: undefined,
    talkTerminal: undefined,
    piped: undefined,
    context: {},
    toParent: undefined,
    stop: new AbortController(),
    async run(...argv) {
      const said = { output: '', talk: '' }
      const code = await runCli(hostOf(user, argv, said))
      return { code, ...said }
    },
  }
  return user
}

function hostOf(user: FakeUser, argv: string[], said: { output: string; talk: string }): CliHost {
  const input = new PassThrough()
  const typed = [...user.typed]
  const isTTY = typed.length + user.keys.length > 0
  if (user.piped !== undefined) input.end(user.piped)
  const { toParent } = user
  return {
    argv,
    environment: user.environment,
    workingDirectory: user.folder,
    homeDirectory: user.home,
    platform: process.platform,
    input: Object.assign(input, { isTTY, setRawMode: () => input }),
    output: { write: (text) => void (said.output += text), ...(user.terminal && { isTTY: true, ...user.terminal }) },
    talk: {
      ...(user.talkTerminal && { isTTY: true, ...user.talkTerminal }),
      write(text) {
        said.talk += text
        // A prompt ends without a line break; the person answers it.
        if (isTTY && /(: |\] )$/.test(text)) input.write(typed.shift() ?? '\u0004')
      },
    },
    wallMs: () => user.nowMs,
    pause: async (durationMs, signal) => {
      user.nowMs += durationMs
      const key = user.keys.shift()
      if (key !== undefined) input.write(key)
      await setImmediate(undefined, { signal })
    },
    interruption: () => ({ signal: user.stop.signal, dispose: () => {} }),
    sendToParent: toParent && ((message) => void toParent.push(message)),
    loadContext: async () => ({
      runNode: () => Promise.reject(new Error('no node expected')),
      becomeChosenProgram: () => undefined,
      createStorageTools: () => {
        throw new Error('no storage tools expected')
      },
      ...user.context,
    }),
  }
}
