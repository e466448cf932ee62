import { defineService, method, z } from 'p2p-core/service'

/** Answers with its parameters, which a schema checks, as one that is written for use would. */
export default defineService({
  name: 'echo',
  version: '1.0.0',
  description: 'Answers with its parameters',
  methods: {
    say: method({
      description: 'Answers with its parameters',
      public: true,
      params: z.object({ host: z.string(), tags: z.array(z.string()), text: z.string(), count: z.number() }),
      handler: (params) => params,
    }),
    pour: method({
      description: 'A stream of bytes',
      public: true,
      stream: true,
      params: z.object({ items: z.int(), bytes: z.int() }),
      async *handler({ items, bytes }) {
        const item = new Uint8Array(bytes).fill(7)
        for (let i = 0; i < items; i++) yield item
      },
    }),
  },
})
