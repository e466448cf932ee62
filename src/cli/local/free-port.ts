import { createServer } from 'node:net'

/** Whether a TCP port can be bound on this address right now. */
function isPortFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/**
 * The first free port at or above `from` that is not in `taken`.
 * @throws when the 100 ports from there on are all in use
 */
export async function nextFreePort(from: number, host: string, taken: ReadonlySet<number>): Promise<number> {
  for (let port = from; port < from + 100; port++) {
    if (!taken.has(port) && (await isPortFree(port, host))) return port
  }
  throw new Error(`No free port between ${from} and ${from + 99} on ${host}`)
}
