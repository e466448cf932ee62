import type { AcmeCredentialFacts } from '../../base/acme.ts'
import { CliError } from '../../base/errors.ts'
import { parseDuration } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { type OutputFormat, show, showRows } from '../output/show.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'

interface CreateFlags extends ConnectionFlags {
  name?: string[]
  uses: number
  ttl: string
  output: OutputFormat
}

interface Created {
  hmac_key: string
  directory: string
  facts: AcmeCredentialFacts
}

/** `p2p acme create LABEL` */
export async function createAcmeCredential(host: CliHost, label: string, flags: CreateFlags): Promise<void> {
  const ttlMs = parseDuration(flags.ttl)
  if (ttlMs === undefined) {
    throw new CliError('P2P_CLI_USAGE', `--ttl "${flags.ttl}" is not a duration; it looks like 24h or 30m`)
  }
  const session = await connect(host, flags)
  const body = { label, names: flags.name ?? [], uses: flags.uses, ttl_s: ttlMs / 1_000 }
  const made = await session.call<Created>({ method: 'POST', path: '/api/acme/credentials', body })
  const { kid, expires_at_ms: endMs } = made.facts
  await show(
    host,
    flags.output,
    made,
    () => `directory  ${made.directory}\nkid        ${kid}\nhmac key   ${made.hmac_key}\n`,
  )
  const [first = 'www.example.internal'] = flags.name ?? []
  host.talk.write(`The key is shown this once; an account must be opened with it until ${relativeTime(endMs, host.wallMs())}. With lego, on the machine of ${first}:
  LEGO_CA_CERTIFICATES=ca.pem lego --server ${made.directory} --accept-tos --email you@example.test \\
    --eab --kid ${kid} --hmac KEY --http --domains ${first} run
ca.pem is the cluster's root: p2p ca show --output json | jq -r .ca_certificate
`)
}

/** `p2p acme list` */
export async function listAcmeCredentials(
  host: CliHost,
  flags: ConnectionFlags & { output: OutputFormat },
): Promise<void> {
  const session = await connect(host, flags)
  const path = '/api/acme/credentials'
  const { credentials } = await session.call<{ credentials: AcmeCredentialFacts[] }>({ method: 'GET', path })
  await showRows(
    host,
    flags.output,
    credentials,
    [
      { title: 'KID', value: (one) => one.kid },
      { title: 'LABEL', value: (one) => one.label },
      { title: 'NAMES', value: (one) => one.names.join(', ') || 'any it proves' },
      { title: 'USES LEFT', value: (one) => one.uses_left, align: 'right' },
      { title: 'ENDS', value: (one) => relativeTime(one.expires_at_ms, host.wallMs()) },
    ],
    'There are no ACME credentials; "p2p acme create LABEL" makes one',
  )
}

/** `p2p acme revoke KID` */
export async function revokeAcmeCredential(host: CliHost, kid: string, flags: ConnectionFlags): Promise<void> {
  const session = await connect(host, flags)
  await session.call({ method: 'DELETE', path: `/api/acme/credentials/${encodeURIComponent(kid)}` })
  host.talk.write(`Withdrawn, with the accounts that were opened with it: ${kid}\n`)
}
