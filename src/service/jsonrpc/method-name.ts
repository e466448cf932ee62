/** A service's or method's own name: 1 to 63 letters, digits, `_` or `-`, beginning with a letter. */
const PART = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/

export function isServiceName(name: string): boolean {
  return PART.test(name)
}

export function isMethodName(name: string): boolean {
  return PART.test(name)
}

/** The one form in which a method is named on every wire and looked up: `service/method`. */
export function formatMethodName(service: string, method: string): string {
  return `${service}/${method}`
}

/** @returns undefined when `name` is not of the form `service/method` */
export function parseMethodName(name: string): { service: string; method: string } | undefined {
  const slash = name.indexOf('/')
  const service = name.slice(0, slash)
  const method = name.slice(slash + 1)
  return slash > 0 && isServiceName(service) && isMethodName(method) ? { service, method } : undefined
}
