/**
 * JSON text with one form for equal values: keys sorted by code units, no white space (RFC 8785). For plain data:
 * strings, finite numbers, booleans, null, arrays and objects; undefined properties are left out.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const properties = Object.entries(value)
    .filter(([, property]) => property !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${properties.map(([key, property]) => `${JSON.stringify(key)}:${canonicalJson(property)}`).join(',')}}`
}
