import { Command } from 'commander'
import { runLocalCluster } from '../local/local-cluster.ts'

/** `p2p local`: a coordinator and two workers on this machine, for trying things out. `npm start` runs it. */
export function localCommand(): Command {
  return new Command('local')
    .description('Run a coordinator and two workers on this machine, to try things out (npm start)')
    .option('--directory <path>', 'where the nodes keep their state', 'data/local')
    .option('--workers <count>', 'how many workers, 1 to 8', '2')
    .addHelpText(
      'after',
      '\nThe nodes listen on 127.0.0.1 only, on ports 8001, 8002 … or the next free ones.\nCtrl-C stops them all; the next start comes back with the same identities.\n',
    )
    .action(async (options: { directory: string; workers: string }) => {
      process.exitCode = await runLocalCluster({ directory: options.directory, workers: Number(options.workers) })
    })
}
