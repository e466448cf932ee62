import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { CliError } from '../../base/errors.ts'
import { bringProgram } from '../deploy/bring-bundle.ts'
import type { CliHost } from '../host.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { callMethod } from '../session/call-method.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import type { RolloutView } from '../session/deployments.ts'
import { INTERRUPTED } from '../session/follow-rollout.ts'
import { followUpgrade } from '../session/follow-upgrade.ts'

type Flags = ConnectionFlags & {
  node?: string[]
  batch?: number
  dryRun?: boolean
  force?: boolean
  output: OutputFormat
}

interface UpgradePlanView {
  from_version: string
  to_version: string
  waves: string[][]
  left_out: { node_id: string; why: string }[]
  refusals: { code: string; message: string }[]
}

/** `p2p upgrade FILE.tgz` */
export async function upgrade(host: CliHost, file: string, flags: Flags): Promise<number> {
  const tarball = resolve(host.workingDirectory, file)
  if (statSync(tarball, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new CliError('P2P_CLI_USAGE', `There is no file "${file}"; give the tarball that "npm pack" made of p2p-core`)
  }
  const session = await connect(host, flags)
  const request = {
    ...(flags.node && { nodes: flags.node }),
    ...(flags.batch !== undefined && { batch: flags.batch }),
    ...(flags.force && { force: true }),
  }
  let plan: UpgradePlanView | undefined
  const program = await bringProgram(host, session, tarball, async (version) => {
    plan = (await callMethod(session, {
      method: 'upgrades/plan',
      params: { ...request, version },
      node: 'local',
    })) as UpgradePlanView
    host.talk.write(planText(plan))
    return plan.refusals.length === 0 && !flags.dryRun
  })
  if (plan && plan.refusals.length > 0) {
    host.talk.write('Nothing was changed\n')
    await show(host, flags.output, plan, () => '')
    return 1
  }
  if (plan && flags.dryRun) {
    await show(host, flags.output, plan, () => '')
    return 0
  }
  if (!program) return INTERRUPTED
  const { digest, version } = program
  const begun = (await callMethod(session, {
    method: 'upgrades/begin',
    params: { ...request, digest, version },
    node: 'local',
  })) as RolloutView
  const { rollout, exitCode } = await followUpgrade(host, session, begun)
  await show(host, flags.output, rollout, () => '')
  return exitCode
}

/** Who, in which order; who not, and why. */
function planText({ from_version: from, to_version: to, waves, left_out: leftOut, refusals }: UpgradePlanView): string {
  const names = (ids: readonly string[]): string => ids.map(plain).join(', ')
  const lines = [
    ...refusals.map(({ message }) => `Refused: ${plain(message)}`),
    ...leftOut.map(({ node_id: id, why }) => `Left out: ${plain(id)} ${plain(why)}`),
    ...(waves.length > 0 ? [`From ${plain(from)} to ${plain(to)}, in this order:`] : []),
    ...waves.map((ids, index) => `  ${index + 1}. ${names(ids)}`),
    ...(waves.length > 0 ? ['The services of a node stop and start with it'] : []),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
