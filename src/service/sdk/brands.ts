/*
 * A service may bring its own copy of this module, so nothing is recognised by identity: what the node
 * looks for carries one of these symbols, which are the same in every copy.
 */

/** On the prototype of every service class. */
export const SERVICE_CLASS: unique symbol = Symbol.for('p2p-core.service-class') as never
/** On what `defineService` returns. */
export const SERVICE_DEFINITION: unique symbol = Symbol.for('p2p-core.service-definition') as never
/** On a marked method; its value is the method's options. */
export const SERVICE_METHOD: unique symbol = Symbol.for('p2p-core.service-method') as never
/** On an error whose text is meant for the caller. */
export const SERVICE_ERROR: unique symbol = Symbol.for('p2p-core.service-error') as never
/** Method of a service object that takes what the node gives it. */
export const ATTACH: unique symbol = Symbol.for('p2p-core.attach') as never
