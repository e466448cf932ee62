import { styleText } from 'node:util'
import type { NodeEvent } from '../../context/index.ts'
import type { NodeEnd, ReadyEvent } from './local-node.ts'

/** What `p2p local` shows: one line an event, then what to try. */
export interface Screen {
  title(text: string): void
  say(text: string): void
  event(nodeId: string, event: NodeEvent): void
  /** @param link opens the dashboard, once; absent when there is none to be had */
  ready(nodes: number, directory: string, link: string | undefined): void
  /** A node that we did not stop; unless it was told to, it comes back after so long. */
  ended(end: NodeEnd, restartAfterMs: number): void
  stopping(): void
}

export function createScreen(output: NodeJS.WriteStream = process.stdout): Screen {
  const startedMs = performance.now()
  const readyEvents: ReadyEvent[] = []
  let recoveryKey: string | undefined
  let lastProgress = ''
  const write = (line = ''): void => void output.write(`${line}\n`)
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    styleText(format, text, { stream: output })
  const elapsed = (): string => style('dim', `${((performance.now() - startedMs) / 1000).toFixed(1).padStart(5)} s`)
  const line = (nodeId: string, text: string): void => write(`  ${elapsed()}  ${nodeId.padEnd(14)} ${text}`)

  return {
    title: (text) => write(`\n${style('bold', text)}\n`),
    say: write,
    event(nodeId, event) {
      switch (event.type) {
        case 'progress': {
          // A fraction is shown in tenths, so that a log file of this screen stays short.
          const text =
            event.fraction === undefined ? event.text : `${event.text} ${Math.floor(event.fraction * 10) * 10} %`
          if (text !== lastProgress) line(nodeId, style('dim', text))
          lastProgress = text
          return
        }
        case 'vault-created':
          if (nodeId.startsWith('coordinator')) recoveryKey = event.recoveryKey
          return
        case 'ca-created':
          line(nodeId, `made the certificate authority, fingerprint ${style('cyan', event.fingerprint.slice(0, 16))}…`)
          return
        case 'pending':
          line(nodeId, style('yellow', `waits for approval: p2p nodes approve ${event.nodeId}`))
          return
        case 'unreachable':
          line(nodeId, style('yellow', `cannot reach ${event.addresses.join(', ')} (${event.reason}); keeps trying`))
          return
        case 'ready':
          readyEvents.push(event)
          line(nodeId, `${style('green', 'ready')}  ${event.url}`)
          return
        case 'joined':
          // The line "ready" has said it already: on one machine the two come together.
          return
        case 'stopping':
          line(nodeId, `stopping: ${event.reason}`)
      }
    },
    ready(nodes, directory, link) {
      const coordinator = readyEvents.find((event) => event.role === 'coordinator')
      if (!coordinator) return
      write(`\n${style(['bold', 'green'], `${nodes} nodes are up`)}, all talking over mutual TLS. State: ${directory}`)
      if (recoveryKey !== undefined) {
        write(
          `\n${style('yellow', 'Recovery key of the coordinator, shown this once. Keep it somewhere safe:')}\n  ${recoveryKey}`,
        )
      }
      const command = isClone() ? 'npx p2p' : 'p2p'
      if (link !== undefined) {
        const again = style('dim', `for ten minutes, once; another: ${command} login --link`)
        write(`\nThe dashboard, in a browser: ${again}\n  ${style('cyan', link)}`)
      }
      write(`\nTry in a second terminal, in this folder:
  ${style('cyan', `${command} login`)}                                       ${style('dim', 'once; writes the curl configuration too')}
  ${style('cyan', `${command} nodes`)}                                       ${style('dim', 'who is there')}
  ${style('cyan', `${command} call inventory/summary --node worker-1`)}     ${style('dim', 'a service on a worker, through the coordinator')}
  ${style('cyan', `curl -K ~/.config/p2p/curlrc ${coordinator.url}/cluster/nodes`)}
  ${style('cyan', `${coordinator.url}/docs`)}                         ${style('dim', 'every endpoint, in a browser')}

${style('dim', 'Ctrl-C stops everything.')}`)
    },
    ended({ nodeId, how, outcome, logFile, lastLines }, restartAfterMs) {
      if (outcome === 'stopped') return line(nodeId, how)
      line(nodeId, `${style('red', how)}; it is started again in ${restartAfterMs / 1_000} s`)
      if (outcome === 'killed') return
      write(`\nIts log, ${logFile}, ends with:`)
      for (const text of lastLines) write(`  ${text}`)
    },
    stopping: () => write('\nStopping all nodes …'),
  }
}

/** In a clone the command is not on the PATH; npx finds it. */
function isClone(): boolean {
  return (process.argv[1] ?? '').endsWith('p2p.cjs') && !(process.argv[1] ?? '').includes('node_modules')
}
