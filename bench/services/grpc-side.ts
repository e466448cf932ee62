import {
  type ClientDuplexStream,
  credentials,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import type { TlsMaterial } from '../../src/base/credentials.ts'
import { measure } from './driver/measure.ts'
import { type Load, MESSAGE } from './message.ts'
import { serveSide } from './side.ts'

/** grpc-js with mutual TLS: unary calls, and one bidirectional stream that carries all. Its messages are the same JSON. */
interface Setup {
  material: TlsMaterial
  /** Of the server to call; undefined: this one answers. */
  port: number | undefined
}

const toBytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const fromBytes = (bytes: Buffer): unknown => JSON.parse(bytes.toString())
const codec = {
  requestSerialize: toBytes,
  requestDeserialize: fromBytes,
  responseSerialize: toBytes,
  responseDeserialize: fromBytes,
}

const ECHO: ServiceDefinition = {
  unary: { path: '/Echo/Unary', requestStream: false, responseStream: false, ...codec },
  both: { path: '/Echo/Both', requestStream: true, responseStream: true, ...codec },
}

serveSide(({ material, port }: Setup) => (port === undefined ? serve(material) : client(material, port)))

async function serve({ trustPem, keyPem, certificateChainPem }: TlsMaterial) {
  const server = new Server()
  server.addService(ECHO, {
    unary: (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => answer(null, call.request),
    both(call: ServerDuplexStream<unknown, unknown>) {
      call.on('data', (message) => call.write(message))
      call.on('end', () => call.end())
    },
  })
  const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certificateChainPem) }
  const secured = ServerCredentials.createSsl(Buffer.from(trustPem), [pair], true)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', secured, (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  return { facts: { port }, answers: {} }
}

interface EchoClient {
  unary(message: unknown, answered: (error: Error | null, answer: unknown) => void): void
  both(): ClientDuplexStream<unknown, unknown>
}

async function client({ trustPem, keyPem, certificateChainPem }: TlsMaterial, port: number) {
  const secured = credentials.createSsl(Buffer.from(trustPem), Buffer.from(keyPem), Buffer.from(certificateChainPem))
  // The name in its certificate; an address cannot be one.
  const options = { 'grpc.ssl_target_name_override': 'localhost' }
  const Client = makeGenericClientConstructor(ECHO, 'Echo')
  const echo = new Client(`127.0.0.1:${port}`, secured, options) as unknown as EchoClient
  const unary = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      echo.unary(MESSAGE, (error, answer) => (error ? reject(error) : resolve(answer)))
    })
  const stream = echo.both()
  const waiting: ((answer: unknown) => void)[] = []
  stream.on('data', (answer) => waiting.shift()?.(answer))
  const both = (): Promise<unknown> =>
    new Promise((resolve) => {
      waiting.push(resolve)
      stream.write(MESSAGE)
    })
  return {
    facts: {},
    answers: {
      measure: ({ way, inFlight, seconds }: Load) => measure(way === 'unary' ? unary : both, inFlight, seconds),
    },
  }
}
