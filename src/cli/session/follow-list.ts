import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import type { OutputFormat } from '../output/show.ts'
import { plain } from '../output/style.ts'
import type { Session } from './connect.ts'
import { followEvents } from './follow-events.ts'

/** @throws {CliError} P2P_CLI_USAGE: what goes on for ever has neither an end in time nor one document */
export function checkFollow(flags: { follow?: true; until?: string; output: OutputFormat }): void {
  if (!flags.follow || (flags.until === undefined && flags.output !== 'yaml')) return
  throw new CliError(
    'P2P_CLI_USAGE',
    '--follow goes on until you stop it and writes text or JSON lines: leave --until and --output yaml out',
  )
}

/** What the events of this name carry, whatever happens to the connection, until the person interrupts. */
export async function* followList<T>(
  host: CliHost,
  session: Session,
  { path, name }: { path: string; name: string },
): AsyncGenerator<T[]> {
  const interruption = host.interruption()
  try {
    const { signal } = interruption
    const onLost = (why: string): void => void host.talk.write(`${plain(why)}; trying again\n`)
    for await (const { event, data } of followEvents(session, path, { signal, pause: host.pause, onLost })) {
      // Events this version does not know are for later ones.
      if (event === name) yield JSON.parse(data) as T[]
    }
  } finally {
    interruption.dispose()
  }
}
