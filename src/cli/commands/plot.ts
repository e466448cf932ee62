import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { formatBytes } from '../../base/bytes.ts'
import { CliError } from '../../base/errors.ts'
import { loadConfig } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import { facts, type OutputFormat, show } from '../output/show.ts'
import type { PlotFacts } from '../storage-tools.ts'

interface PlotFlags {
  config?: string
  file?: string
  output: OutputFormat
}

/** `p2p plot generate` */
export async function generatePlot(host: CliHost, flags: PlotFlags): Promise<void> {
  const path = plotPath(host, flags)
  const tools = (await host.loadContext()).createStorageTools()
  const interruption = host.interruption()
  let shown = ''
  const processors = cpus()
  host.talk.write(`Processor: ${processors.length} × ${processors[0]?.model.trim() || 'unknown model'}\n`)
  try {
    const plot = await tools.generatePlot(
      path,
      (fraction, text) => {
        const line = `${text} ${Math.floor(fraction * 10) * 10} %`
        if (line !== shown) host.talk.write(`${line}\n`)
        shown = line
      },
      interruption.signal,
    )
    await showFacts(host, flags.output, plot)
  } finally {
    interruption.dispose()
  }
  host.talk.write('Keep a copy elsewhere: without it, and without the recovery key, the vault cannot be opened.\n')
}

/** `p2p plot info` */
export async function showPlot(host: CliHost, flags: PlotFlags): Promise<void> {
  const path = plotPath(host, flags)
  await showFacts(host, flags.output, await (await host.loadContext()).createStorageTools().plotInfo(path))
}

function showFacts(host: CliHost, output: OutputFormat, plot: PlotFacts): Promise<void> {
  return show(host, output, plot, () =>
    facts(host, [
      ['Plot', plot.path],
      ['Size', formatBytes(plot.sizeBytes)],
      ['Mode', plot.mode],
      ['Fingerprint', plot.fingerprint],
    ]),
  )
}

function plotPath(host: CliHost, { config, file }: PlotFlags): string {
  if (config !== undefined && file !== undefined)
    throw new CliError('P2P_CLI_USAGE', '--config and --file exclude each other; give one of them')
  if (config !== undefined) return loadConfig({ file: config, workingDirectory: host.workingDirectory }).plotFile
  return resolve(host.workingDirectory, file ?? 'dist/services/plot')
}
