import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** Names of questions and what answers them. */
export type Answers = Record<string, (args: never) => unknown>

interface Question {
  question: string
  args: unknown
}

interface Answer {
  value?: unknown
  error?: string
}

/** What {@link serveSide} has set up. */
interface Served {
  facts: unknown
  answers: Answers
  stop?(): Promise<void>
}

/** A process of the benchmark, seen from the one that runs it. Asked one thing at a time. */
export interface Side<Facts> {
  readonly pid: number
  /** What it told when it was ready. */
  readonly facts: Facts
  ask<T>(question: string, args?: object): Promise<T>
  stop(): Promise<void>
}

/** Starts a module that calls {@link serveSide}, and waits until it is ready. */
export async function startSide<Facts>(file: string, setup: object): Promise<Side<Facts>> {
  const child = fork(new URL(file, import.meta.url), [], {
    execArgv: ['--conditions=source', ...profileArgs()],
    serialization: 'advanced',
  })
  const facts = (await exchange(child, { question: 'setup', args: setup })) as Facts
  return {
    pid: child.pid as number,
    facts,
    ask: async <T>(question: string, args: object = {}) => (await exchange(child, { question, args })) as T,
    async stop() {
      if (!child.connected) return
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}

/** With `--cpu-prof` every process of the benchmark writes a profile when it ends. */
function profileArgs(): string[] {
  return process.execArgv.filter((argument) => argument.startsWith('--cpu-prof'))
}

async function exchange(child: ChildProcess, question: Question): Promise<unknown> {
  child.send(question)
  const answered = new AbortController()
  const { signal } = answered
  const [answer] = (await Promise.race([
    once(child, 'message', { signal }),
    once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(`a process of the benchmark ended with ${String(code)} when asked ${question.question}`)
    }),
  ]).finally(() => answered.abort())) as [Answer]
  if (answer.error !== undefined) throw new Error(answer.error)
  return answer.value
}

/** The other end: sets up, then answers until the process that started it goes. */
export function serveSide(setUp: (setup: never) => Promise<Served>): void {
  let side: Served | undefined
  const answerTo = async ({ question, args }: Question): Promise<unknown> => {
    if (question === 'setup') {
      side = await setUp(args as never)
      return side.facts
    }
    const answer = side?.answers[question]
    if (!answer) throw new Error(`no answer to ${question}`)
    return answer(args as never)
  }
  process.on('message', (message) => {
    answerTo(message as Question).then(
      (value) => process.send?.({ value }),
      (error: unknown) => process.send?.({ error: error instanceof Error ? error.stack : String(error) }),
    )
  })
  process.once('disconnect', () => {
    Promise.resolve(side?.stop?.()).then(
      () => process.exit(),
      () => process.exit(1),
    )
  })
}
