/*
 * A program that is no node calls a service: node client.ts SERVICE/METHOD [PARAMS] [NODE]
 * It needs nothing but Node 24.5 or later, and the login that `p2p login` wrote.
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'

const [method, params = '{}', node] = process.argv.slice(2)
if (method === undefined) {
  console.error(`Usage: node client.ts SERVICE/METHOD [PARAMS] [NODE], for example
  node client.ts greeter/greet '{"name":"Ada"}' worker-1`)
  process.exit(2)
}

const folder = process.env['XDG_CONFIG_HOME'] ?? process.env['APPDATA'] ?? join(homedir(), '.config')
const { profiles } = JSON.parse(readFileSync(join(folder, 'p2p/login.json'), 'utf8'))
const { url, ca_certificate: caCertificate, access_token: accessToken } = profiles.default

// The cluster has an authority of its own: trusted beside those of the system.
setDefaultCACertificates([...getCACertificates('default'), caCertificate])

const target = node === undefined ? '' : `?node=${encodeURIComponent(node)}`
const response = await fetch(`${url}/rpc${target}`, {
  method: 'POST',
  headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: JSON.parse(params) }),
})

// What was refused before the call is told as a problem (RFC 9457); what came after it, as a JSON-RPC answer.
const answer = (await response.json()) as {
  result?: unknown
  error?: { message: string; data: { code: string } }
  code?: string
  detail?: string
}
if ('result' in answer) {
  console.log(JSON.stringify(answer.result, null, 2))
} else {
  const { code, message } = answer.error
    ? { code: answer.error.data.code, message: answer.error.message }
    : { code: answer.code, message: answer.detail }
  console.error(`${message}\n(${code})`)
  process.exitCode = 1
}
