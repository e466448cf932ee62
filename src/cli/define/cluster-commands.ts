import { type Command, Option } from 'commander'
import { LOG_LEVELS } from '../../base/log.ts'
import { EVENT_KINDS } from '../../base/timeline.ts'
import { collect, collectChoice, traceId, upperCaseWord, withConnection, withOutput, wholeNumber } from '../options.ts'
import type { Act } from '../program.ts'
import { RANGES } from '../output/ranges.ts'
import { SORT_KEYS } from '../top/sort-keys.ts'

/** Commands that talk to a running node. */
export function defineClusterCommands(program: Command, act: Act): void {
  const cluster = (name: string, description: string): Command =>
    program.command(name).description(description).helpGroup('Use a cluster:')

  cluster(
    'login [url]',
    'Sign in with name and password or with the operator credential, and write a curl configuration',
  )
    .option('--name <name>', 'sign in as this user; the password is asked for (also: P2P_USER_PASSWORD)')
    .addOption(
      new Option('--password-fd <n>', 'read the password from this file descriptor').argParser(wholeNumber(0, 1_023)),
    )
    .option('--fingerprint <hex>', 'of the cluster, the first time: how its coordinator is known')
    .option('--ca-file <file>', "the cluster's root certificate, instead")
    .option('--credential-file <file>', 'operator.json of the coordinator; by default the one found in ./data')
    .option('--profile <name>', 'remember the login under this name, beside others')
    .option('--link', 'print a link that lets a browser into the dashboard once, instead')
    .addHelpText(
      'after',
      `
Without --name the operator credential is used: <state_directory>/operator.json
of the coordinator, readable by its user only.

Examples:
  p2p login                                       on the coordinator's machine, as its user
  p2p login https://10.0.0.5:8001 --name ada --fingerprint 3f0a…
`,
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
  defineEvents(cluster('events', 'Show what happened in the cluster, or follow it'), act)
  defineWhy(cluster('why <name>', 'Tell why a service or node is as it is, and what to do'), act)
  defineAlerts(cluster('alerts', 'See what fires, take care of it, silence it, test who is told'), act)
  defineTop(cluster('top', 'Show nodes and services by what they use, live'), act)
  defineMetrics(cluster('metrics [node]', 'Show graphs of what a node measured, or of the calls of a service'), act)
  defineSupportBundle(cluster('support-bundle', 'Collect what helps to see what is wrong into one file'), act)
  defineAccount(cluster('account', 'Show your own account, and set up a second step'), act)
  defineUsers(cluster('users', 'Say who may use the cluster, and as what'), act)
  defineTokens(cluster('token', 'Make and withdraw the tokens that let workers join'), act)
  defineAudit(cluster('audit', 'Show who did what on a node, and whether the record is whole'), act)
  defineAcme(cluster('acme', 'Let stock ACME clients (lego, certbot …) get certificates from this cluster'), act)
  const authority = cluster('ca', 'The certificate authority of the cluster')
  withOutput(
    withConnection(authority.command('show').description('Show its fingerprint and the certificates it issued')),
  ).action(act(async () => (await import('../commands/ca.ts')).showCa))
  defineRotation(authority.command('rotate').description('Exchange the CA while everything runs'), act)
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
  withConnection(nodes.command('ban <id>').description('Cut a node off, and never let its name or its keys in again'))
    .option('--reason <text>', 'shown in the list of bans')
    .option('--fingerprint <hex>', 'a further key that is banned with it')
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await import('../commands/nodes.ts')).banNode))
  withConnection(nodes.command('unban <id>').description('Lift a ban')).action(
    act(async () => (await import('../commands/nodes.ts')).unbanNode),
  )
  withOutput(withConnection(nodes.command('banned').description('List the nodes that are banned'))).action(
    act(async () => (await import('../commands/nodes.ts')).listBanned),
  )
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

function defineRotation(rotate: Command, act: Act): void {
  withOutput(withConnection(rotate))
    .option('--issuing', 'only the issuing CA, under the same root')
    .option('--root', 'the root, and the issuing CA under it')
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await import('../commands/rotate-ca.ts')).rotateCa))
  withOutput(
    withConnection(rotate.command('status').description('Show how far it is, and which nodes have not followed')),
  ).action(act(async () => (await import('../commands/rotate-ca.ts')).rotationStatus))
  withOutput(withConnection(rotate.command('finish').description('Go on without the nodes that have not followed')))
    .option('--force', 'leave them behind: they are cut off until they have fetched a new certificate')
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await import('../commands/rotate-ca.ts')).finishRotation))
  rotate.addHelpText(
    'after',
    `
Goes on by itself, also after a restart of the coordinator, as soon as every node
has followed. No call fails.

Examples:
  p2p ca rotate --root
  p2p ca rotate status
  p2p ca rotate finish --force                    a node will not come back
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
    .option('--trace <id>', 'lines of one call, on every node it came to', traceId)
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
  p2p logs --trace 4bf92f3577b34da6a3ce929d0e0e4736   what one call did, on every node
`,
    )
    .action(act(async () => (await import('../commands/logs.ts')).logs))
}

function defineTop(top: Command, act: Act): void {
  withOutput(withConnection(top))
    .addOption(new Option('--sort <key>', 'what the lines are sorted by').choices(SORT_KEYS).default('cpu'))
    .addOption(
      new Option('--interval <seconds>', 'between two looks; nodes tell of themselves every 4 s')
        .argParser(wholeNumber(1, 3_600))
        .default(2),
    )
    .option('--once', 'show it once and end, as in a pipe')
    .addHelpText(
      'after',
      `
On a terminal it goes on until q or Ctrl-C, and keys sort: c m d l t r e n.

Examples:
  p2p top
  p2p top --sort calls
  p2p top --once --output json
`,
    )
    .action(act(async () => (await import('../commands/top.ts')).top))
}

function defineMetrics(metrics: Command, act: Act): void {
  withOutput(withConnection(metrics))
    .addOption(new Option('--range <range>', 'how far back').choices(RANGES).default('15m'))
    .option('--service <name>', 'of this service on all nodes instead of a node')
    .addHelpText(
      'after',
      `
Examples:
  p2p metrics worker-1
  p2p metrics --service shop --range 1d
  p2p metrics coordinator --range 7d
  p2p metrics worker-1 --range 1h --output json
`,
    )
    .action(act(async () => (await import('../commands/metrics.ts')).metrics))
}

function defineSupportBundle(bundle: Command, act: Act): void {
  withConnection(bundle)
    .option('--file <file>', 'write it there, where no file is; by default p2p-support-TIME.tar.gz in this folder')
    .addOption(new Option('--lines <count>', 'last log lines').argParser(wholeNumber(1, 100_000)).default(5_000))
    .addHelpText(
      'after',
      `
Versions, configurations, members, deployments, certificates' facts, metrics,
what was done, and the last log lines, as JSON. Passwords, tokens and keys are
replaced, also in log lines; names and addresses are left as they are.
`,
    )
    .action(act(async () => (await import('../commands/support-bundle.ts')).supportBundle))
}

function defineEvents(events: Command, act: Act): void {
  withOutput(withConnection(events))
    .option('-f, --follow', 'go on with every new event, until Ctrl-C; with --output json a line each')
    .option('--node <id>', 'those of this node')
    .option('--service <name>', 'those of this service')
    .addOption(
      new Option('--kind <kind>', `${EVENT_KINDS.join(', ')}; may be given several times`).argParser(
        collectChoice(EVENT_KINDS),
      ),
    )
    .option('--since <time>', 'a span such as 10m or 2h, or a time such as 2026-01-02T03:04:05Z')
    .option('--until <time>', 'likewise')
    .addOption(new Option('--limit <count>', 'events at most').argParser(wholeNumber(1, 1_000)).default(50))
    .addHelpText(
      'after',
      `
Deployments, nodes that come and go, health of services, certificates, what
people did, alerts, and errors in the log.

Examples:
  p2p events
  p2p events -f --kind deploy --kind health
  p2p events --service hello --since 2h
`,
    )
    .action(act(async () => (await import('../commands/events.ts')).events))
}

function defineAlerts(alerts: Command, act: Act): void {
  withOutput(withConnection(alerts.command('list', { isDefault: true }).description('What fires, and who is told')))
    .option('--all', 'also what was over within the last day')
    .action(act(async () => (await import('../commands/alerts.ts')).listAlerts))
  withConnection(alerts.command('ack <id>').description('Say that you take care of an alert'))
    .option('--note <text>', 'for the others')
    .action(act(async () => (await import('../commands/alerts.ts')).acknowledgeAlert))
  withConnection(alerts.command('silence [id]').description('Send nobody a word of some alerts for a time'))
    .option('--rule <rule>', 'node, service, disk, certificate, clock or logs')
    .option('--node <id>', 'those of this node')
    .option('--service <name>', 'those of this service')
    .option('--for <time>', 'a span such as 30m or 2h, or a time such as 2026-01-02T03:04:05Z', '1h')
    .option('--reason <text>', 'for the others')
    .option('--end <silence>', 'end this silence instead')
    .addHelpText(
      'after',
      `
Examples:
  p2p alerts silence node/worker-2 --for 2h --reason "new disk"
  p2p alerts silence --node worker-2 --rule disk --for 1d
  p2p alerts silence --end 3f0a9c21b7d4
`,
    )
    .action(act(async () => (await import('../commands/alerts.ts')).silenceAlerts))
  withOutput(
    withConnection(alerts.command('test [target]').description('Send a test message to one target or all')),
  ).action(act(async () => (await import('../commands/alerts.ts')).testAlerts))
}

function defineWhy(why: Command, act: Act): void {
  withOutput(withConnection(why))
    .addOption(new Option('--kind <kind>', 'when a service and a node bear that name').choices(['service', 'node']))
    .addHelpText(
      'after',
      `
Examples:
  p2p why hello
  p2p why worker-2
`,
    )
    .action(act(async () => (await import('../commands/why.ts')).why))
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

function defineAccount(account: Command, act: Act): void {
  const load = () => import('../commands/account.ts')
  withOutput(withConnection(account)).action(act(async () => (await load()).showAccount))
  withConnection(
    account.command('totp').description('Have codes of an authenticator program asked for at each sign-in'),
  )
    .addOption(
      new Option('--password-fd <n>', 'read your password from this file descriptor').argParser(wholeNumber(0, 1_023)),
    )
    .action(act(async () => (await load()).setUpTotp))
}

function defineUsers(users: Command, act: Act): void {
  const roles = ['viewer', 'operator', 'admin']
  const load = () => import('../commands/users.ts')
  const withPassword = (command: Command): Command =>
    command
      .option('--password', 'set a password instead of making an invitation: asked for twice (also: P2P_USER_PASSWORD)')
      .addOption(new Option('--password-fd <n>', 'read it from this file descriptor').argParser(wholeNumber(0, 1_023)))
  withOutput(withConnection(users.command('list').description('List the people'))).action(
    act(async () => (await load()).listUsers),
  )
  withPassword(
    withOutput(
      withConnection(users.command('add <name>').description('Add a person; prints an invitation link, once')),
    ),
  )
    .addOption(new Option('--role <role>', 'what the person may do').choices(roles).default('viewer'))
    .action(act(async () => (await load()).addUser))
  withConnection(users.command('set-role <name>').description('Give a person another role; their sessions end'))
    .argument('<role>', roles.join(', '))
    .action(act(async () => (await load()).setUserRole))
  withPassword(
    withOutput(
      withConnection(
        users.command('reset <name>').description('Take password and second step away; prints an invitation link'),
      ),
    ),
  )
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await load()).resetUser))
  withConnection(users.command('remove <name>').description('Remove a person; their sessions end within seconds'))
    .option('-y, --yes', 'do not ask')
    .action(act(async () => (await load()).removeUser))
  users.addHelpText(
    'after',
    `
Examples:
  p2p users add ada --role admin                  hand the link to Ada: she sets her password
  p2p users set-role ada operator
  p2p users reset ada                             she lost her password, or her telephone
`,
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
    .option('--export', 'every record that matches, newest first, a line of JSON each; --limit does not count')
    .option('--verify', 'read every record again and check that none was changed, left out or put in')
    .addHelpText(
      'after',
      `
Each node keeps the record of what was done through it; --url says which one is
asked.

Examples:
  p2p audit --since 24h --who ada
  p2p audit --act /api/tokens --output json
  p2p audit --export > audit-2026-01.jsonl
  p2p audit --verify                              exit code 78 when something is wrong
`,
    )
    .action(act(async () => (await import('../commands/audit.ts')).audit))
}
