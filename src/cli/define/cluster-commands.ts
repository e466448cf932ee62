import { type Command, Option } from 'commander'
import { LOG_LEVELS } from '../../base/log.ts'
import { collect, upperCaseWord, withConnection, withOutput, wholeNumber } from '../options.ts'
import type { Act } from '../program.ts'

/** Commands that talk to a running node. */
export function defineClusterCommands(program: Command, act: Act): void {
  const cluster = (name: string, description: string): Command =>
    program.command(name).description(description).helpGroup('Use a cluster:')

  cluster('login [url]', 'Sign in with the operator credential of a coordinator, and write a curl configuration')
    .option('--credential-file <file>', 'operator.json of the coordinator; by default the one found in ./data')
    .option('--profile <name>', 'remember the login under this name, beside others')
    .option('--link', 'print a link that lets a browser into the dashboard once, instead')
    .addHelpText(
      'after',
      '\nThe credential is in <state_directory>/operator.json of the coordinator, readable by its user only.\n',
    )
    .action(act(async () => (await import('../commands/login.ts')).login))
  cluster('logout', 'Withdraw the access token and forget the login')
    .option('--profile <name>', 'which login')
    .action(act(async () => (await import('../commands/login.ts')).logout))
  withOutput(withConnection(cluster('status', 'Show how one node is doing'))).action(
    act(async () => (await import('../commands/status.ts')).status),
  )
  defineNodes(cluster('nodes', 'List the nodes of the cluster, and decide who may join'), act)
  withOutput(
    withConnection(cluster('services [name]', 'List the services of a node, or show one with its methods')),
  ).action(act(async () => (await import('../commands/services.ts')).services))
  withOutput(withConnection(cluster('gossip', 'Show how a node keeps up with the others, and what that costs')))
    .option('--node <target>', 'which one: a node id, coordinator, worker or remote; by default the node asked')
    .action(act(async () => (await import('../commands/gossip.ts')).gossip))
  defineCall(cluster('call [method]', 'Call a method of a service'), act)
  defineTypes(cluster('types [services...]', 'Write TypeScript types for calls of the services that run'), act)
  defineLogs(cluster('logs', 'Show log lines of the cluster, search them, or follow them'), act)
  defineTokens(cluster('token', 'Make and withdraw the tokens that let workers join'), act)
  defineAudit(cluster('audit', 'Show who did what on a node, and whether the record is whole'), act)
  defineAcme(cluster('acme', 'Let stock ACME clients (lego, certbot …) get certificates from this cluster'), act)
  const authority = cluster('ca', 'The certificate authority of the cluster')
  withOutput(
    withConnection(authority.command('show').description('Show its fingerprint and the certificates it issued')),
  ).action(act(async () => (await import('../commands/ca.ts')).showCa))
}

function defineNodes(nodes: Command, act: Act): void {
  withOutput(withConnection(nodes))
    .option('-w, --watch', 'go on and show every change, until Ctrl-C; with --output json a line each')
    .action(act(async () => (await import('../commands/nodes.ts')).listNodes))
  withOutput(withConnection(nodes.command('pending').description('List the nodes that wait for approval'))).action(
    act(async () => (await import('../commands/nodes.ts')).listPending),
  )
  withConnection(nodes.command('approve <id>').description('Let a waiting node in'))
    .option(
      '--fingerprint <hex>',
      'fingerprint the node shows, or its first 16 digits or more; without it you are asked',
    )
    .action(act(async () => (await import('../commands/nodes.ts')).approveNode))
  withConnection(nodes.command('reject <id>').description('Turn a waiting node away')).action(
    act(async () => (await import('../commands/nodes.ts')).rejectNode),
  )
  withConnection(
    nodes.command('revoke <id>').description('Revoke every certificate of a node: it is cut off within seconds'),
  )
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await import('../commands/nodes.ts')).revokeNode))
  nodes.addHelpText(
    'after',
    `
Examples:
  p2p nodes                                       who is there, as a table
  p2p nodes --output json                         the same for a program
  p2p nodes --watch                               live; in a pipe, a line for every change
  p2p nodes pending
  p2p nodes approve worker-3 --fingerprint 5f3a0c91d2e4b768
`,
  )
}

function defineCall(call: Command, act: Act): void {
  withOutput(withConnection(call))
    .helpOption(false)
    .usage('SERVICE/METHOD [options]')
    .option('--param <name=value>', 'one parameter; may be given several times', collect)
    .option('--params <json>', 'all parameters as a JSON object or array')
    .option('--node <target>', 'where to run it: a node id, coordinator, worker, local or remote')
    .option('--timeout <duration>', 'how long to wait, for instance 10s or 2m')
    .option('-h, --help', 'show this help; after SERVICE/METHOD, the parameters of that method')
    .addHelpText(
      'after',
      `
Examples:
  p2p call system/get_system_info
  p2p call system/get_system_info --help          the parameters it takes
  p2p call inventory/find --param text=ssd --param limit=5 --node worker-1
`,
    )
    .action(async (...words: unknown[]) => {
      const { method, help } = { method: words[0], help: (words[1] as { help?: boolean }).help }
      // Without a method there is nothing to ask a node: commander's own help says it all.
      if (method === undefined) call.help({ error: help !== true })
      await act(async () => (await import('../commands/call.ts')).call)(...words)
    })
}

function defineTypes(types: Command, act: Act): void {
  withConnection(types)
    .option('--file <file>', 'write them there; by default to the standard output')
    .option('--check', 'write nothing; exit code 3 when the file is not what would be written')
    .addHelpText(
      'after',
      `
Without names: every service that runs and has methods others may call.

Examples:
  p2p types --file services.ts                    then: const services = this.proxy as ClusterServices
  p2p types library greeter
  p2p types --file services.ts --check            in a build: has a service changed?
`,
    )
    .action(act(async () => (await import('../commands/types.ts')).writeTypes))
}

function defineLogs(logs: Command, act: Act): void {
  withOutput(withConnection(logs))
    .option('-f, --follow', 'go on with every new line, until Ctrl-C; with --output json a line each')
    .option('--node <id>', 'whose; by default those of all nodes (of a worker that is asked: its own)')
    .option('--level <level>', `this level and above: ${LOG_LEVELS.join(', ')}`, upperCaseWord(LOG_LEVELS))
    .option('--logger <text>', "part of the logger's name")
    .option('--grep <words>', 'words that all begin a word of the message or of the fields, whatever the case')
    .option('--since <time>', 'a span such as 10m or 2h, or a time such as 2026-01-02T03:04:05Z')
    .option('--until <time>', 'likewise')
    .addOption(new Option('--limit <count>', 'lines at most').argParser(wholeNumber(1, 1_000)).default(100))
    .addHelpText(
      'after',
      `
Examples:
  p2p logs
  p2p logs -f --level WARNING                     live, of all nodes
  p2p logs --node worker-1 --level ERROR --since 10m
  p2p logs --grep "suspect worker-1" --logger Gossip --output json
`,
    )
    .action(act(async () => (await import('../commands/logs.ts')).logs))
}

function defineTokens(token: Command, act: Act): void {
  withOutput(withConnection(token.command('create').description('Make a join token; it is shown this once')))
    .addOption(
      new Option('--uses <count>', 'how many nodes may join with it').argParser(wholeNumber(1, 10_000)).default(1),
    )
    .option('--ttl <duration>', 'how long it is good for, for instance 10m or 24h', '10m')
    .addOption(new Option('--role <role>', 'what joins with it').choices(['worker', 'coordinator']).default('worker'))
    .action(act(async () => (await import('../commands/token.ts')).createToken))
  withOutput(withConnection(token.command('list').description('List the tokens that are still good'))).action(
    act(async () => (await import('../commands/token.ts')).listTokens),
  )
  withConnection(token.command('revoke <id>').description('Withdraw a token')).action(
    act(async () => (await import('../commands/token.ts')).revokeToken),
  )
}

function defineAcme(acme: Command, act: Act): void {
  withOutput(
    withConnection(acme.command('create <label>').description('Make a credential; its key is shown this once')),
  )
    .option('--name <name>', 'a name it is for: exact, *.DOMAIN, or an address; may be given several times', collect)
    .addOption(
      new Option('--uses <count>', 'how many accounts may be opened with it')
        .argParser(wholeNumber(1, 1_000))
        .default(1),
    )
    .option('--ttl <duration>', 'how long an account may be opened with it, for instance 24h', '24h')
    .addHelpText(
      'after',
      `
Examples:
  p2p acme create web-server --name www.corp.internal
  p2p acme create printers --name '*.print.corp.internal' --uses 20
`,
    )
    .action(act(async () => (await import('../commands/acme.ts')).createAcmeCredential))
  withOutput(withConnection(acme.command('list').description('List the credentials'))).action(
    act(async () => (await import('../commands/acme.ts')).listAcmeCredentials),
  )
  withConnection(
    acme.command('revoke <kid>').description('Withdraw a credential and the accounts opened with it'),
  ).action(act(async () => (await import('../commands/acme.ts')).revokeAcmeCredential))
}

function defineAudit(audit: Command, act: Act): void {
  withOutput(withConnection(audit))
    .option('--who <text>', 'part of who it was, for instance ada')
    .option('--act <text>', 'part of what was done, for instance tokens or DELETE')
    .option('--since <time>', 'a span such as 2h, or a time such as 2026-01-02T03:04:05Z')
    .addOption(new Option('--limit <count>', 'records at most').argParser(wholeNumber(1, 1_000)).default(50))
    .option('--verify', 'read every record again and check that none was changed, left out or put in')
    .addHelpText(
      'after',
      `
Each node keeps the record of what was done through it; --url says which one is asked.

Examples:
  p2p audit --since 24h --who ada
  p2p audit --act /api/tokens --output json
  p2p audit --verify                              exit code 78 when something is wrong
`,
    )
    .action(act(async () => (await import('../commands/audit.ts')).audit))
}
