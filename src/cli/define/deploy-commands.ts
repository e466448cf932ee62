import { Argument, type Command, Option } from 'commander'
import { collect, coreCount, instanceCount, wholeNumber, withConnection, withOutput } from '../options.ts'
import type { Act } from '../program.ts'

/** Commands that say what should run where; they talk to a coordinator. */
export function defineDeployCommands(program: Command, act: Act): void {
  const group = (name: string, description: string): Command =>
    program.command(name).description(description).helpGroup('Run services:')
  const reading = (name: string, description: string): Command => withOutput(withConnection(group(name, description)))
  const change = (name: string, description: string): Command =>
    reading(name, description).option('--detach', 'do not wait for the end')

  defineDeploy(change('deploy <folder>', 'Run a service: pack its folder, show what changes, follow the rollout'), act)
  definePlan(
    reading('plan <target>', 'Show what a deploy would change, like a diff: of a folder, or of a service'),
    act,
  )

  change('scale', 'Change how many instances of a service run')
    .argument('<service>')
    .addArgument(new Argument('<count>', 'instances in all, or "every": one on every node').argParser(instanceCount))
    .addHelpText('after', '\nExamples:\n  p2p scale shop 5\n  p2p scale agent every\n')
    .action(act(async () => (await import('../commands/change-service.ts')).scale))
  defineControl(change, act)
  change('rollback', 'Go back to an earlier version of a service')
    .argument('<service>')
    .addArgument(
      new Argument('[generation]', 'as "p2p history" shows it; by default the last that ran well').argParser(
        wholeNumber(1, Number.MAX_SAFE_INTEGER),
      ),
    )
    .addHelpText('after', '\nExamples:\n  p2p rollback shop\n  p2p history shop && p2p rollback shop 4\n')
    .action(act(async () => (await import('../commands/change-service.ts')).rollback))
  withConnection(group('remove <service>', 'End a service everywhere, and forget it with its history'))
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await import('../commands/change-service.ts')).remove))

  reading('history <service>', 'Show every change of a service: who, when, why, and how it ended')
    .option('-f, --follow', 'show the latest change on its way through the cluster instead, to its end')
    .addHelpText('after', '\nExamples:\n  p2p history shop\n  p2p history shop --follow\n')
    .action(act(async () => (await import('../commands/history.ts')).history))
  reading('jobs', 'List what runs at times or once: next and last run').action(
    act(async () => (await import('../commands/jobs.ts')).jobs),
  )
  defineDraining(group, act)
  defineUpgrade(reading('upgrade <file>', 'Bring a new version of p2p itself to the nodes: what npm pack made'), act)
  defineSecrets(group('secrets', 'Passwords and keys of services, kept encrypted'), act)
}

/** What `deploy` and `plan` say of a deployment. */
function withDeployment(command: Command): Command {
  const number = (flags: string, description: string, max: number): Option =>
    new Option(flags, description).argParser(wholeNumber(0, max))
  return command
    .optionsGroup('How many, and where:')
    .addOption(new Option('--count <number>', 'instances in all, or "every"').argParser(instanceCount))
    .option('--every', 'one instance on every node that fits')
    .option('--label <name=value>', 'only on nodes with this label; several times', collect)
    .option('--spread-by <label>', 'spread over the values of this label first')
    .addOption(new Option('--per-node <number>', 'instances on one node at most').argParser(wholeNumber(1, 10_000)))
    .addOption(number('--memory <MB>', 'memory to keep free for each instance', 16_777_216))
    .addOption(new Option('--cpus <number>', 'cores to keep free for each instance').argParser(coreCount))
    .optionsGroup('What it gets:')
    .option('--config <file>', 'configuration of the service (YAML or JSON)')
    .option('--secret <name=secret>', 'its name of a secret = the name in the cluster; several times', collect)
    .option('--grant <permissions>', 'net,childProcess,read=PATH,write=PATH or none', collect)
    .optionsGroup('How it begins:')
    .addOption(
      new Option('--strategy <kind>', 'how the new version takes over').choices(['rolling', 'canary', 'all-at-once']),
    )
    .addOption(new Option('--batch <nodes>', 'nodes at a time; 1').argParser(wholeNumber(1, 10_000)))
    .option('--watch <duration>', 'how long a canary is watched; 60s')
    .option('--healthy-for <duration>', 'what is new counts when it is well this long; 5s')
    .option('--deadline <duration>', 'what is new and not well by then has failed; 30s')
    .option('--after <service>', 'when this one runs, or SERVICE=healthy; several times', collect)
    .optionsGroup('A job instead of a service that stays:')
    .option('--once', 'run to a good end once')
    .option('--cron <schedule>', 'run at these times: "0 3 * * *"')
    .option('--time-zone <name>', 'of the schedule, as Europe/Berlin; UTC')
    .addOption(number('--retries <number>', 'times a run that failed is begun again; 3', 100))
    .option('--no-job', 'a service that stays again')
    .optionsGroup('Options:')
    .option('--force', 'override: a caller would break, an older version, another change')
    .option('--reason <text>', 'a sentence for the history')
}

const KEPT = `
What is not given stays as it was, or gets its default for a new service.
A label, secret, permission or --after replaces all of its kind.`

function defineDeploy(deploy: Command, act: Act): void {
  withDeployment(deploy)
    .addHelpText(
      'after',
      `${KEPT}
Ctrl-C stops waiting, not the rollout.
Exit codes: 0 it runs, 1 refused or failed, 130 not waited for.

Examples:
  p2p deploy ./shop                             a first version, or the next
  p2p deploy ./shop --count 3 --label disk=ssd --grant net
  p2p deploy ./shop --strategy canary --watch 5m --reason "new prices"
  p2p deploy ./shop --secret db_password=shop/db --config shop.yaml
  p2p deploy ./agent --every --detach
  p2p deploy ./backup --cron "0 3 * * *" --time-zone Europe/Berlin
`,
    )
    .action(act(async () => (await import('../commands/deploy.ts')).deploy))
}

function definePlan(plan: Command, act: Act): void {
  withDeployment(plan)
    .addHelpText(
      'after',
      `${KEPT}
Nothing is changed; the bundle of a folder is uploaded for it.
Exit codes: 0 nothing to do, 3 changes, 1 refused.

Examples:
  p2p plan ./shop
  p2p plan shop --count 5
`,
    )
    .action(act(async () => (await import('../commands/plan.ts')).plan))
}

function defineControl(change: (name: string, description: string) => Command, act: Act): void {
  const verbs = [
    { name: 'start', description: 'Run a stopped service again' },
    { name: 'stop', description: 'Stop a service until it is started again' },
    { name: 'restart', description: 'Restart a service, one instance after the other' },
  ] as const
  for (const { name, description } of verbs) {
    change(`${name} <service>`, description)
      .option('--node <id>', 'on this node only; also a service that was not deployed')
      .addHelpText('after', `\nExamples:\n  p2p ${name} shop\n  p2p ${name} inventory --node worker-1\n`)
      .action(act(async () => (await import('../commands/change-service.ts'))[name]))
  }
}

function defineUpgrade(upgrade: Command, act: Act): void {
  upgrade
    .option('--node <id...>', 'only these nodes')
    .addOption(new Option('--batch <nodes>', 'workers at a time, after the first; 1').argParser(wholeNumber(1, 10_000)))
    .option('--dry-run', 'only show who would be upgraded in which order')
    .option('--force', 'also to an older version, and where it runs already')
    .addHelpText(
      'after',
      `
One worker first, then the others, coordinators last. The services of a node stop
and start with it. A node on which the new version does not run well goes back by
itself, and the upgrade ends.
Exit codes: 0 done, 1 refused or failed, 130 not waited for.

Examples:
  npm pack && p2p upgrade p2p-core-3.1.0.tgz      in a clone of the new version
  p2p upgrade p2p-core-3.1.0.tgz --dry-run
  p2p upgrade p2p-core-3.1.0.tgz --node worker-1 --node worker-2
`,
    )
    .action(act(async () => (await import('../commands/upgrade.ts')).upgrade))
}

function defineDraining(group: (name: string, description: string) => Command, act: Act): void {
  withConnection(group('drain <node>', 'Move every deployed service away from a node, before it is switched off'))
    .option('--detach', 'do not wait until it is empty')
    .addHelpText('after', '\nExamples:\n  p2p drain worker-2\n  p2p undrain worker-2\n')
    .action(act(async () => (await import('../commands/drain.ts')).drain))
  withConnection(group('undrain <node>', 'Let services be placed on a node again')).action(
    act(async () => (await import('../commands/drain.ts')).undrain),
  )
}

function defineSecrets(secrets: Command, act: Act): void {
  withOutput(
    withConnection(secrets.command('list').description('List their names and who uses them; never a value')),
  ).action(act(async () => (await import('../commands/secrets.ts')).listSecrets))
  withConnection(secrets.command('set <name>').description('Set one: asked for, or read from the standard input'))
    .addOption(
      new Option('--value-fd <descriptor>', 'read the value from this open file descriptor').argParser(
        wholeNumber(0, 1_023),
      ),
    )
    .action(act(async () => (await import('../commands/secrets.ts')).setSecret))
  withConnection(secrets.command('delete <name>').description('Forget one that no service uses'))
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await import('../commands/secrets.ts')).deleteSecret))
  secrets.addHelpText(
    'after',
    `
A value is never an argument, which every user of the machine could read.

Examples:
  p2p secrets set shop/db                        asks for it
  p2p secrets set shop/tls-key < key.pem
  p2p deploy ./shop --secret db_password=shop/db
`,
  )
}
