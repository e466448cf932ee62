import type { CliHost } from '../host.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { plain } from '../output/style.ts'
import type { Session } from './connect.ts'
import type { RolloutView } from './deployments.ts'
import { followRollout, lookAgain } from './follow-rollout.ts'

/**
 * What follows a change that began a rollout: its progress to its end, or with `--detach` only how to look; as JSON or YAML the
 * rollout as it then is.
 * @returns the exit code
 */
export async function afterwards(
  host: CliHost,
  session: Session,
  begun: RolloutView,
  flags: { detach?: boolean; output: OutputFormat },
): Promise<number> {
  if (flags.detach) {
    host.talk.write(`${plain(begun.service)} ${plain(begun.to_version)} is on its way. ${lookAgain(begun.service)}\n`)
    await show(host, flags.output, begun, () => '')
    return 0
  }
  const { rollout, exitCode } = await followRollout(host, session, begun)
  await show(host, flags.output, rollout, () => '')
  return exitCode
}
