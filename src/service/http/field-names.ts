/*
 * Fields are `snake_case` on the HTTP surface, as the Python program's were, and `camelCase` in the program.
 */

/** What is kept under these names is the user's own, and passed on as it is. */
const OPEN = ['labels', 'config', 'secrets', 'ports'] as const
type Open = (typeof OPEN)[number]
const isOpen = (key: string): boolean => (OPEN as readonly string[]).includes(key)

type SnakeCase<S extends string> = S extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : S

/** The same value with the field names of the wire. */
export type Wire<T> = T extends readonly (infer Item)[]
  ? Wire<Item>[]
  : T extends object
    ? { [Key in keyof T as SnakeCase<Key & string>]: Key extends Open ? T[Key] : Wire<T[Key]> }
    : T

export function toWire<T>(value: T): Wire<T> {
  return renamed(value, (key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)) as Wire<T>
}

/** The other way: what the schema of a route has checked, with the program's field names. */
export function fromWire(value: object): object {
  const rename = (key: string): string => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
  return renamed(value, rename) as object
}

function renamed(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, item]) => [rename(key), isOpen(key) ? item : renamed(item, rename)])
  return Object.fromEntries(entries)
}
