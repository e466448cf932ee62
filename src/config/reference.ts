import { CONFIG_KEYS, CONFIG_SCHEMA, type ConfigKey, metaOf } from './schema.ts'

/** One key of the YAML file, for people. */
export interface KeyDescription {
  key: ConfigKey
  /** What may be written, completing "expected …". */
  value: string
  /** The default, in words where it depends on other keys. */
  default: string
  description: string
}

/** Every key there is, in the order of the reference page. */
export function describeKeys(): KeyDescription[] {
  return CONFIG_KEYS.map((key) => {
    const { expects, fallback, description } = metaOf(key)
    const value = CONFIG_SCHEMA.shape[key].parse(undefined)
    // A key whose default is no plain value says it in words.
    const inWords = fallback ?? (typeof value === 'object' ? JSON.stringify(value) : String(value))
    return { key, value: expects, default: inWords, description }
  })
}
