import semver from 'semver'

/** Whether `to` comes before `from` in the order of Semantic Versioning 2.0.0; false where one of them is no such version. */
export function versionGoesBackwards(from: string, to: string): boolean {
  const [before, after] = [semver.parse(from), semver.parse(to)]
  return before !== null && after !== null && semver.lt(after, before)
}

/**
 * Whether the numbers promise that callers go on working: the same major version, or, below 1.0.0, the same minor one (Semantic
 * Versioning 2.0.0, rules 4 and 8). False where one of them is no such version.
 */
export function promisesCompatibility(from: string, to: string): boolean {
  const [before, after] = [semver.parse(from), semver.parse(to)]
  if (!before || !after || before.major !== after.major) return false
  return before.major > 0 || before.minor === after.minor
}
