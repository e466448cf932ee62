import { resolve } from 'node:path'
import { bringBundle } from '../deploy/bring-bundle.ts'
import { type DeployFlags, deployBody } from '../deploy/deploy-flags.ts'
import { requireFolder } from '../deploy/service-folder.ts'
import type { CliHost } from '../host.ts'
import { changesAnything, planText } from '../output/plan-text.ts'
import type { OutputFormat } from '../output/show.ts'
import { styler } from '../output/style.ts'
import { afterwards } from '../session/afterwards.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { deploymentPath, type PlanView, type RolloutView } from '../session/deployments.ts'
import { INTERRUPTED } from '../session/follow-rollout.ts'

type Flags = ConnectionFlags & DeployFlags & { detach?: boolean; output: OutputFormat }

/** Refusals that a person may override; the others need what they name. */
const FORCEABLE: ReadonlySet<string> = new Set(['VERSION_BACKWARDS', 'INCOMPATIBLE', 'NO_PLACE', 'P2P_DEPLOY_BUSY'])

/** `p2p deploy DIR` */
export async function deploy(host: CliHost, folder: string, flags: Flags): Promise<number> {
  const body = await deployBody(host, flags)
  requireFolder(host, folder)
  const session = await connect(host, flags)
  const bundle = await bringBundle(host, session, resolve(host.workingDirectory, folder))
  if (!bundle) return INTERRUPTED
  const { digest: artifact, service } = bundle
  const plan = await session.call<PlanView>({
    method: 'POST',
    path: deploymentPath(service, '/plan'),
    body: { ...body, artifact },
  })
  host.talk.write(planText(plan, styler(host.talk, host.environment)))
  // What refuses it also comes with a plan that changes nothing else.
  if (plan.refusals.length === 0 && !changesAnything(plan)) return 0
  if (plan.refusals.length > 0 && !flags.force) {
    const canForce = plan.refusals.every(({ code }) => FORCEABLE.has(code))
    host.talk.write(`Nothing was changed${canForce ? '; with --force it is done all the same' : ''}\n`)
    return 1
  }
  const rollout = await session.call<RolloutView>({
    method: 'PUT',
    path: deploymentPath(service),
    body: { ...body, artifact },
  })
  return afterwards(host, session, rollout, flags)
}
