import { REDACTED, withoutSecrets } from '../../base/secret-shapes.ts'

const SECRET_NAME =
  /pass(?:word|wd|phrase)|secret|token|authorization|cookie|credential|(?:private|api|recovery|join|master|plot|session|signing|encryption)[-_]?key|webhook|dsn$/i
/** Names that only speak of a secret, and the counts of them. */
const HARMLESS_NAME =
  /[_-](?:ids?|counts?|ms|names?|paths?|files?|kinds?|status|total|uses)$|[a-z](?:Ids?|Counts?|Ms|Names?|Paths?|Files?|Kinds?|Status|Total|Uses)$/

/** Beside those of a shape of their own, what looks like a secret in other programs' lines. */
const GUESSED_SHAPES: readonly (readonly [RegExp, string])[] = [
  [/\b(bearer|basic)\s+[\w+/=.~-]{8,}/gi, `$1 ${REDACTED}`],
  [
    /\b(pass(?:word|wd)?|secret|token|api[-_]?key|access[-_]?key)(["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s"',;&]{3,})/gi,
    `$1$2${REDACTED}`,
  ],
  [/(https:\/\/[\w.-]+\/(?:services|webhooks?|hooks?)\/)[\w/-]{8,}/gi, `$1${REDACTED}`], // where whoever has the address may post
  [/\b(?:AKIA|ASIA)[A-Z\d]{16}\b/g, REDACTED], // keys of cloud services, of code hosts
  [/\b(?:gh[pousr]_\w{20,}|glpat-[\w-]{16,}|xox[abpr]-[\w-]{10,})/g, REDACTED],
]

/** What stands in it is up to the service that gets it. */
const ENVIRONMENT_NAME = /^env(?:ironment)?$/i

/**
 * The value without secrets: whatever stands under a name that speaks of one, and what looks like one in any text, names of
 * fields included. For data that was made by JSON.parse.
 */
export function redacted(value: unknown): unknown {
  if (typeof value === 'string') return redactedText(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(redacted)
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => {
      const isHidden = isSecret(name, part)
      const shown = ENVIRONMENT_NAME.test(name) ? namesOnly(part) : part
      return [redactedText(name), isHidden ? REDACTED : redacted(shown)]
    }),
  )
}

function namesOnly(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((one) => String(one).replace(/=.*$/s, `=${REDACTED}`))
  return Object.fromEntries(Object.keys(value).map((name) => [name, REDACTED]))
}

/** The text with what looks like a secret replaced. */
export function redactedText(text: string): string {
  return GUESSED_SHAPES.reduce((left, [shape, replacement]) => left.replace(shape, replacement), withoutSecrets(text))
}

function isSecret(name: string, value: unknown): boolean {
  const isRevealing =
    typeof value === 'string' || typeof value === 'number' || (typeof value === 'object' && value !== null)
  return isRevealing && SECRET_NAME.test(name) && !HARMLESS_NAME.test(name)
}
