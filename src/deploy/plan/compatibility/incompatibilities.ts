import type { JsonSchema, MethodDescriptor } from '../../../service/index.ts'
import { schemaFindings } from './schema-comparison.ts'

export interface MethodChange {
  method: string
  /** What a caller could stumble over, for people. */
  what: string
  /** Services that call the method now. */
  callers: string[]
}

export interface Incompatibilities {
  /** Callers would break. */
  breaking: MethodChange[]
  /** Nobody can tell from the schemas, or only people are concerned. */
  unclear: MethodChange[]
}

const PERSON_ROLES = ['viewer', 'operator', 'admin'] as const

/**
 * What callers of a service would stumble over if its methods became `after`: a method that is gone or no longer public, parameters
 * that are no longer taken, results that are no longer what was promised. What cannot be told from the schemas is `unclear`.
 * @param callersOf names of those who call a method now, from elsewhere
 */
export function incompatibilities(
  before: readonly MethodDescriptor[],
  after: readonly MethodDescriptor[],
  callersOf: (method: string) => readonly string[],
): Incompatibilities {
  const found: Incompatibilities = { breaking: [], unclear: [] }
  const byName = new Map(after.map((descriptor) => [descriptor.name, descriptor]))
  for (const old of before) {
    const callers = [...callersOf(old.name)]
    for (const { what, isCertain } of methodFindings(old, byName.get(old.name))) {
      const changes = isCertain ? found.breaking : found.unclear
      changes.push({ method: old.name, what, callers })
    }
  }
  return found
}

function itemFindings(before: JsonSchema, after: JsonSchema): { what: string; isCertain: boolean }[] {
  return schemaFindings(before, after, 'result').map(({ what, isCertain }) => ({
    what: `of each item: ${what}`,
    isCertain,
  }))
}

function methodFindings(
  old: MethodDescriptor,
  now: MethodDescriptor | undefined,
): { what: string; isCertain: boolean }[] {
  if (!now) return [{ what: 'the method is gone', isCertain: true }]
  const findings: { what: string; isCertain: boolean }[] = []
  if (old.isPublic && !now.isPublic) {
    findings.push({
      what: 'the method is no longer public: only services on the same node may call it',
      isCertain: true,
    })
  }
  if (PERSON_ROLES.indexOf(now.requiredRole) > PERSON_ROLES.indexOf(old.requiredRole)) {
    findings.push({
      what: `people need the role ${now.requiredRole} now, ${old.requiredRole} was enough`,
      isCertain: false,
    })
  }
  if (old.params && now.params) findings.push(...schemaFindings(old.params, now.params, 'params'))
  // Whoever had no schema said nothing of what may be sent.
  else if (now.params) findings.push({ what: 'params are checked now, and were not before', isCertain: false })
  if (old.result && now.result) findings.push(...schemaFindings(old.result, now.result, 'result'))
  else if (old.result) findings.push({ what: 'the result is no longer promised by a schema', isCertain: false })
  const [streamed, streams] = [old.isStream ?? false, now.isStream ?? false]
  if (streamed !== streams) {
    findings.push({
      what: streams ? 'it answers with a stream now' : 'it answers with a stream no more',
      isCertain: true,
    })
  } else if (old.item && now.item) findings.push(...itemFindings(old.item, now.item))
  else if (old.item) findings.push({ what: 'the items are no longer promised by a schema', isCertain: false })
  return findings
}
