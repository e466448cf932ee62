import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type Finding, ok, problem, skipped } from './finding.ts'

const TIMEOUT_MS = 3_000

/** Whether a Redis server answers at the URL: PING as an inline command (Redis protocol specification). */
export async function checkRedis(redisUrl: string | undefined): Promise<Finding> {
  if (redisUrl === undefined) return skipped('Redis', 'not used: results are cached in memory')
  const url = new URL(redisUrl)
  const port = Number(url.port || 6379)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const place = `${url.hostname}:${port}`
  try {
    const answer = await ping(
      url.protocol === 'rediss:' ? connectTls({ host, port, servername: host }) : connect({ host, port }),
    )
    // Without a password in the command, NOAUTH is as much a sign of life as PONG.
    if (/^(\+PONG|-NOAUTH)/.test(answer)) return ok('Redis', `${place} answers`)
    return problem('Redis', `${place} answers, but not as Redis`, 'correct redis_url')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message
    return problem(
      'Redis',
      `${place} does not answer (${reason})`,
      'start it or correct redis_url; nodes work on without it, with their memory cache',
    )
  }
}

function ping(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.setTimeout(TIMEOUT_MS, () =>
      socket.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })),
    )
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('it closed the connection')))
    socket.once('data', (data: Buffer) => {
      resolve(data.toString('latin1', 0, 64))
      socket.destroy()
    })
    socket.write('PING\r\n')
  })
}
