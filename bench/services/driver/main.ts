import { defineService, method, z } from 'p2p-core/service'
import { measure } from './measure.ts'

/** A service that calls another one, on another node, as fast as it can. */
export default defineService({
  name: 'driver',
  version: '1.0.0',
  description: 'Calls the service echo of another node',
  methods: {
    run: method({
      description: 'Keeps calls going for a time',
      params: z.object({ inFlight: z.int(), seconds: z.number(), message: z.record(z.string(), z.json()) }),
      handler: ({ inFlight, seconds, message }, { service }) => {
        const { proxy } = service
        return measure(() => proxy['echo'].remote.say(message), inFlight, seconds)
      },
    }),
    read: method({
      description: 'Reads a stream to its end; gives the seconds',
      timeoutMs: 120_000,
      params: z.object({ items: z.int(), bytes: z.int() }),
      handler: async ({ items, bytes }, { service }) => {
        const beginMs = performance.now()
        let read = 0
        for await (const item of await service.proxy['echo'].remote.pour({ items, bytes }, { timeoutMs: 120_000 }))
          read += item.length
        if (read !== items * bytes) throw new Error(`${read} bytes came of ${items * bytes}`)
        return (performance.now() - beginMs) / 1_000
      },
    }),
  },
})
