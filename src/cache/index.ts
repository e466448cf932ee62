export { type Cache, type CacheStats, type JsonValue, VALUE_BYTES_MAX } from './cache.ts'
export { type CacheNeeds, type CacheOptions, createCache } from './create-cache.ts'
