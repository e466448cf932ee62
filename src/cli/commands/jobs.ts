import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { type OutputFormat, showRows } from '../output/show.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import type { DeploymentStatusView } from '../session/deployments.ts'

const RUN_STYLES = { running: 'cyan', succeeded: 'green', failed: 'red' } as const

/** `p2p jobs` */
export async function jobs(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const session = await connect(host, flags)
  const { deployments } = await session.call<{ deployments: DeploymentStatusView[] }>({
    method: 'GET',
    path: '/api/deployments',
  })
  const found = deployments.filter(({ deployment }) => deployment.job !== undefined)
  const since = (ms: number | undefined): string | undefined =>
    ms === undefined ? undefined : relativeTime(ms, host.wallMs())
  const last = ({ job }: DeploymentStatusView) => job?.runs.toSorted((a, b) => b.at_ms - a.at_ms)[0]
  await showRows(
    host,
    flags.output,
    found,
    [
      { title: 'JOB', value: ({ deployment }) => deployment.service },
      { title: 'SCHEDULE', value: scheduleText },
      { title: 'NEXT RUN', value: ({ job }) => since(job?.next_run_ms) },
      { title: 'LAST RUN', value: (row) => since(last(row)?.at_ms) },
      { title: 'NODE', value: (row) => last(row)?.node_id },
      {
        title: 'ENDED',
        value: (row) => endText(last(row)),
        style: (row) => {
          const run = last(row)
          return run && RUN_STYLES[run.state]
        },
      },
    ],
    'There are no jobs; a service is one when its deployment says when it runs',
  )
}

function scheduleText({ deployment: { job, is_stopped: isStopped } }: DeploymentStatusView): string {
  const text = job?.kind === 'cron' ? `${job.schedule} (${job.time_zone})` : 'once'
  return isStopped ? `${text}, stopped` : text
}

function endText(run: { state: string; exit?: string } | undefined): string | undefined {
  if (!run) return undefined
  return run.exit === undefined ? run.state : `${run.state}: ${run.exit}`
}
