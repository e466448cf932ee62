import { type Command, Option } from 'commander'
import { withOutput, withUnlock, wholeNumber } from '../options.ts'
import type { Act } from '../program.ts'

/** Commands about this machine's files; no node needs to run. */
export function defineMachineCommands(program: Command, act: Act): void {
  const machine = (name: string, description: string): Command =>
    program.command(name).description(description).helpGroup('This machine:')

  withOutput(machine('doctor', 'Find out what is wrong with this machine or a configuration, and the remedy'))
    .option('--config <file>', 'settings of the node to check for')
    .action(act(async () => (await import('../commands/doctor.ts')).doctor))

  const config = machine('config', 'Settings of a node')
  withOutput(
    config
      .command('check <file>')
      .description('Check a file and show what it means; every mistake with line and column'),
  ).action(act(async () => (await import('../commands/config.ts')).checkConfig))
  withOutput(config.command('keys').description('List every key a file may have')).action(
    act(async () => (await import('../commands/config.ts')).listKeys),
  )

  definePlot(machine('plot', 'The plot: the key file that opens the vault'), act)
  defineStorage(machine('storage', 'The vault: check, copy, re-key; while its node is stopped'), act)
}

function definePlot(plot: Command, act: Act): void {
  const where = (command: Command): Command =>
    command
      .option('--config <file>', 'take plot_file from these settings')
      .option('--file <path>', 'the plot (default: dist/services/plot)')
  withOutput(where(plot.command('generate').description('Make a plot where there is none'))).action(
    act(async () => (await import('../commands/plot.ts')).generatePlot),
  )
  withOutput(where(plot.command('info').description('Show what a plot is, without showing it'))).action(
    act(async () => (await import('../commands/plot.ts')).showPlot),
  )
  plot.addHelpText(
    'after',
    '\nCopy the plot to the workers over a secure channel, and keep a copy elsewhere:\n  scp dist/services/plot worker1:P2P_Core/dist/services/\n',
  )
}

function defineStorage(storage: Command, act: Act): void {
  const work = (name: string, description: string): Command =>
    withUnlock(
      storage
        .command(name)
        .description(description)
        .requiredOption('--config <file>', 'settings of the node whose vault it is')
        .option('--storage <path>', 'the vault, instead of the one of the settings'),
    )
  withOutput(work('verify', 'Read and check every record')).action(
    act(async () => (await import('../commands/storage.ts')).verifyStorage),
  )
  withOutput(work('list [prefix]', 'List what is in it, without the values')).action(
    act(async () => (await import('../commands/storage.ts')).listStorage),
  )
  work('backup <file>', 'Write a copy to a new file, encrypted as it is; the node may run').action(
    act(async () => (await import('../commands/storage.ts')).backupStorage),
  )
  work('restore <file>', 'Make the vault from a backup, where there is none').action(
    act(async () => (await import('../commands/storage.ts')).restoreStorage),
  )
  work('repair', 'Cut damaged records off: what was committed after --to-seq is lost')
    .addOption(
      new Option('--to-seq <number>', 'last commit to keep, as "p2p storage verify" named it')
        .argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER))
        .makeOptionMandatory(),
    )
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await import('../commands/storage.ts')).repairStorage))
  work('rekey', 'Change what opens it; nothing is encrypted anew')
    .option('--new-plot <file>', 'from now on this plot opens it')
    .option('--new-password', 'from now on a password opens it: asked for twice, or P2P_NEW_PASSWORD')
    .option('--new-recovery-key', 'make a new recovery key; it is shown this once')
    .action(act(async () => (await import('../commands/storage.ts')).rekeyStorage))
  withOutput(work('import <archive>', 'Read an archive of the Python program (data/p2p_*.bin) into the vault'))
    .option('--archive-plot <file>', 'the plot that opens the archive, when it is another one')
    .option('--archive-password', 'ask for the password that opens the archive (also: P2P_ARCHIVE_PASSWORD)')
    .action(act(async () => (await import('../commands/storage.ts')).importArchive))
}
