/*
 * Events between nodes, and between a node and a service's process. A process asks its node with `$/subscribe` {number,
 * pattern, delivery}, `$/unsubscribe` {number} and `$/publish` {topic, data}; the node brings events with `$/event` {number,
 * topic, from, data}. To another node it brings them with `$/event` {topic, service, balanced, data}.
 */

export const EVENT_METHOD = '$/event'
export const PUBLISH_METHOD = '$/publish'
export const SUBSCRIBE_METHOD = '$/subscribe'
export const UNSUBSCRIBE_METHOD = '$/unsubscribe'
