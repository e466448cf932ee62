import type { Command } from 'commander'
import { withUnlock } from '../options.ts'
import type { Act } from '../program.ts'

/** Running a node is what `p2p` does without a command. */
export function defineRun(program: Command, act: Act): void {
  program.optionsGroup('Run a node:').option('--config <file>', 'settings of the node (YAML)')
  withUnlock(program)
  program
    .option('--coord <addresses>', 'coordinator addresses, HOST:PORT[,HOST:PORT …]; instead of coordinator_addresses')
    .option('--join <token>', 'token that lets a new worker in (also: P2P_JOIN_TOKEN)')
    .option('--node-id <id>', 'instead of node_id')
    .option('--port <port>', 'instead of port')
    .option('--address <ip>', 'instead of bind_address')
    .option('--advertise-address <host>', 'instead of advertise_address')
    .option('--storage <path>', 'the vault; by default "vault" in state_directory')
    .option('--redis-url <url>', 'instead of redis_url (also: P2P_REDIS_URL)')
    .option('-v, --verbose', 'log at level DEBUG')
    .optionsGroup('Other options:')
    .action(act(async () => (await import('../commands/run.ts')).run))
}
