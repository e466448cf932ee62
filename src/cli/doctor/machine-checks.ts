import { type Finding, ok, problem, warning } from './finding.ts'

const NODE_MAJOR_MIN = 24

/** @param version as in `process.versions.node` */
export function checkNodeVersion(version: string): Finding {
  const major = Number.parseInt(version, 10)
  if (major >= NODE_MAJOR_MIN) return ok('Node.js', version)
  return problem('Node.js', `${version} is too old`, `install Node.js ${NODE_MAJOR_MIN} or later (nodejs.org)`)
}

/** Environment variables of ours that look mistyped: a misspelt secret is silently no secret. */
export function checkEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  known: readonly string[],
): Finding {
  const strange = Object.keys(environment).filter((name) => name.startsWith('P2P_') && !known.includes(name))
  if (strange.length === 0) return ok('Environment', 'no unknown P2P_ variables')
  return warning('Environment', `${strange.join(', ')} has no effect`, `the variables there are: ${known.join(', ')}`)
}
