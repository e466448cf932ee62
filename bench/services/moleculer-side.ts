import { ServiceBroker } from 'moleculer'
import { measure } from './driver/measure.ts'
import { type Load, MESSAGE } from './message.ts'
import { serveSide } from './side.ts'

/** Moleculer over its own TCP transporter, without TLS; a validator checks the parameters, as ours are checked. */
interface Setup {
  nodeID: string
  port: number
  /** Of the node to call: `tcp://host:port/nodeID`; undefined: this one answers. */
  callee: string | undefined
}

serveSide(async ({ nodeID, port, callee }: Setup) => {
  const broker = new ServiceBroker({
    nodeID,
    logger: false,
    transporter: { type: 'TCP', options: { udpDiscovery: false, port, ...(callee && { urls: callee }) } },
  })
  if (callee === undefined) {
    broker.createService({
      name: 'echo',
      actions: {
        say: {
          params: { host: 'string', tags: { type: 'array', items: 'string' }, text: 'string', count: 'number' },
          handler: ({ params }: { params: unknown }) => params,
        },
      },
    })
  }
  await broker.start()
  if (callee !== undefined) await broker.waitForServices('echo')
  return {
    facts: {},
    answers: {
      measure: ({ inFlight, seconds }: Load) => measure(() => broker.call('echo.say', MESSAGE), inFlight, seconds),
    },
    stop: () => broker.stop(),
  }
})
