import type { Session } from './connect.ts'

/** Waits at the coordinator for each change; nothing is polled. */
const WAIT_S = 25

/**
 * Asks for what is at `path` at every change of it (a long poll by `X-P2P-Index`), until it is as wanted.
 * @throws what the node refuses; the signal's reason
 */
export async function watchUntil<T>(
  session: Session,
  path: string,
  { signal, isEnough }: { signal: AbortSignal; isEnough: (answer: T) => boolean },
): Promise<T> {
  let index: string | undefined
  for (;;) {
    const answer = await session.call<T>({
      method: 'GET',
      path: index === undefined ? path : `${path}?index=${index}&wait=${WAIT_S}s`,
      signal,
      onHeaders: (headers) => (index = headers['x-p2p-index'] as string | undefined),
    })
    if (isEnough(answer)) return answer
  }
}
