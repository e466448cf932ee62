import { resolve } from 'node:path'
import { bringBundle } from '../deploy/bring-bundle.ts'
import { type DeployFlags, deployBody } from '../deploy/deploy-flags.ts'
import { isFolder, requireFolder } from '../deploy/service-folder.ts'
import type { CliHost } from '../host.ts'
import { changesAnything, planText } from '../output/plan-text.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { styler } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { deploymentPath, type PlanView } from '../session/deployments.ts'
import { INTERRUPTED } from '../session/follow-rollout.ts'

type Flags = ConnectionFlags & DeployFlags & { output: OutputFormat }

const REFUSED = 1
const CHANGES = 3

/**
 * `p2p plan DIR|SERVICE`: what a deploy would do.
 * @returns 0: nothing; 3: changes; 1: it would be refused
 */
export async function plan(host: CliHost, target: string, flags: Flags): Promise<number> {
  const body = await deployBody(host, flags)
  const isPath = isFolder(host, target)
  // No name of a service looks like this, so a folder was meant.
  if (!isPath && /[./\\]/.test(target)) requireFolder(host, target)
  const session = await connect(host, flags)
  const bundle = isPath ? await bringBundle(host, session, resolve(host.workingDirectory, target)) : undefined
  if (isPath && !bundle) return INTERRUPTED
  const found = await session.call<PlanView>({
    method: 'POST',
    path: deploymentPath(bundle?.service ?? target, '/plan'),
    body: { ...body, ...(bundle && { artifact: bundle.digest }) },
  })
  await show(host, flags.output, found, () => planText(found, styler(host.output, host.environment)))
  if (found.refusals.length > 0) return REFUSED
  return changesAnything(found) ? CHANGES : 0
}
