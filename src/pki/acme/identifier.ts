import { AcmeProblem } from './problem.ts'

/** What a certificate is asked for: a DNS name (possibly `*.` and a domain) or an IP address (RFC 8738). */
export interface AcmeIdentifier {
  type: 'dns' | 'ip'
  value: string
}

/** How names and addresses are recognised; the network library of the shell knows. */
export interface NameRules {
  isHostName: (name: string) => boolean
  /** One spelling per address; undefined when it is none. */
  canonicalAddress: (text: string) => string | undefined
}

const IDENTIFIERS_MAX = 50
const WILDCARD = '*.'

/**
 * The identifiers of an order in their normal form, each once.
 * @throws {AcmeProblem} malformed, unsupportedIdentifier, rejectedIdentifier
 */
export function checkedIdentifiers(value: unknown, rules: NameRules): AcmeIdentifier[] {
  if (!Array.isArray(value) || value.length === 0) throw new AcmeProblem('malformed', 'identifiers must be a list')
  if (value.length > IDENTIFIERS_MAX) {
    throw new AcmeProblem('rejectedIdentifier', `An order has at most ${IDENTIFIERS_MAX} identifiers`)
  }
  const found = new Map<string, AcmeIdentifier>()
  for (const item of value) {
    const identifier = checkedIdentifier(item, rules)
    found.set(identifierKey(identifier), identifier)
  }
  return [...found.values()]
}

/** `dns:www.example.test`: equal for equal identifiers. */
export function identifierKey({ type, value }: AcmeIdentifier): string {
  return `${type}:${value}`
}

export function isWildcard({ type, value }: AcmeIdentifier): boolean {
  return type === 'dns' && value.startsWith(WILDCARD)
}

/** The name that is proved: that of a wildcard is its domain (RFC 8555 section 7.1.3). */
export function provedIdentifier(identifier: AcmeIdentifier): AcmeIdentifier {
  return isWildcard(identifier) ? { type: 'dns', value: identifier.value.slice(WILDCARD.length) } : identifier
}

/** Whether one of the rules covers the identifier: an exact name or address, or `*.` and a domain for what is below it. No rules cover all. */
export function isCovered(identifier: AcmeIdentifier, rules: readonly string[]): boolean {
  if (rules.length === 0) return true
  const { value } = identifier
  return rules.some((rule) => {
    if (!rule.startsWith(WILDCARD)) return value === rule
    const isBelow = provedIdentifier(identifier).value.endsWith(rule.slice(1))
    return identifier.type === 'dns' && (value === rule || isBelow)
  })
}

function checkedIdentifier(item: unknown, rules: NameRules): AcmeIdentifier {
  const { type, value } = (typeof item === 'object' && item !== null ? item : {}) as Record<string, unknown>
  if (typeof type !== 'string' || typeof value !== 'string') {
    throw new AcmeProblem('malformed', 'An identifier has a type and a value, both texts')
  }
  switch (type) {
    case 'dns': {
      const name = value.toLowerCase()
      const plain = name.startsWith(WILDCARD) ? name.slice(WILDCARD.length) : name
      if (rules.isHostName(plain)) return { type, value: name }
      throw new AcmeProblem('rejectedIdentifier', `"${shown(value)}" is no host name; use the ASCII form of a name`)
    }
    case 'ip': {
      const address = rules.canonicalAddress(value)
      if (address !== undefined) return { type, value: address }
      throw new AcmeProblem('malformed', `"${shown(value)}" is no IP address`)
    }
    default:
      throw new AcmeProblem('unsupportedIdentifier', `Identifiers are of type dns or ip, not "${shown(type)}"`)
  }
}

function shown(text: string): string {
  return text.slice(0, 100).replace(/[^\x20-\x7e]/g, '?')
}
