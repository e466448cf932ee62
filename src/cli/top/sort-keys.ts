/** What the lines of `p2p top` can be sorted by; `name` upwards, all else downwards. */
export const SORT_KEYS = ['cpu', 'memory', 'disk', 'load', 'network', 'calls', 'errors', 'name'] as const
export type SortKey = (typeof SORT_KEYS)[number]
