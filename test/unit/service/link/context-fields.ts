import fc from 'fast-check'
import type { Principal } from '../../../../src/base/identity.ts'

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`))
export const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,20}$/)
const person = fc.record({ name: fc.string({ maxLength: 40 }), role: fc.constantFrom('viewer', 'operator', 'admin') })
const caller: fc.Arbitrary<Principal> = fc.oneof(
  fc.constant<Principal>({ kind: 'anonymous' }),
  person.map((p): Principal => ({ kind: 'person', ...p })),
  fc.record(
    { kind: fc.constant('node' as const), nodeId: name, role: fc.constantFrom('worker', 'coordinator'), service: name },
    { requiredKeys: ['kind', 'nodeId', 'role'] },
  ),
)

/** What may travel with a request, but for its time. */
export const contextFields = {
  traceId: hex(32),
  spanId: hex(16),
  isOwnSpan: fc.constant(true as const),
  hops: fc.integer({ min: 1, max: 40 }),
  service: name,
  person,
  caller,
  relayedBy: name,
  target: fc.string({ maxLength: 60 }),
  retries: fc.integer({ min: 0, max: 9 }),
}
