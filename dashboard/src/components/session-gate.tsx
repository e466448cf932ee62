import { Button } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useCallback, useEffect, useMemo, useState } from 'react'
import { isRefused } from '../api/asking.ts'
import { messageOf, whenUnauthorized } from '../api/http.ts'
import {
  forgetToken,
  loginByLink,
  logout,
  renewSession,
  resumeSession,
  type Session,
  takeOidcRefusal,
  takeSecret,
} from '../api/session.ts'
import { LiveCluster } from '../live/live-cluster.ts'
import { LiveContext } from '../live/use-live.ts'
import { Empty } from './empty.tsx'
import { Invitation } from './invitation.tsx'
import { Login } from './login.tsx'

type Gate =
  | { state: 'asking' }
  | { state: 'unreachable'; problem: string }
  | { state: 'outside'; refusal?: string }
  | { state: 'invited'; secret: string }
  | { state: 'inside'; session: Session }

/** Often enough for a session of an hour that is renewed in its second half. */
const RENEW_EVERY_MS = 600_000
const ASK_AGAIN_MS = 3_000

/** Read once, before anything renders: the link is out of the address from the first moment. */
const link = takeSecret('login')
const invitation = takeSecret('invitation')
const oidcRefusal = takeOidcRefusal()

/** Shows its children to those the node knows, the login to all others. */
export function SessionGate({ children }: { children: ReactNode }) {
  const [gate, setGate] = useState<Gate>({ state: 'asking' })
  const queries = useQueryClient()
  const cluster = useMemo(() => new LiveCluster(), [])

  const ask = useCallback(async () => {
    setGate({ state: 'asking' })
    setGate(invitation === undefined ? await opened(link) : { state: 'invited', secret: invitation })
  }, [])
  useEffect(() => void ask(), [ask])

  useEffect(() => {
    whenUnauthorized(() => {
      forgetToken()
      setGate({ state: 'outside', refusal: 'The session has ended. Log in again.' })
    })
  }, [])

  useEffect(() => {
    if (gate.state !== 'unreachable') return
    const again = setTimeout(() => void opened(link).then(setGate), ASK_AGAIN_MS)
    return () => clearTimeout(again)
  }, [gate])

  const session = gate.state === 'inside' ? gate.session : undefined
  useEffect(() => {
    if (!session) return
    cluster.start(session.hasCookie)
    const renewal = setInterval(() => session.hasCookie && void renewSession(), RENEW_EVERY_MS)
    return () => {
      clearInterval(renewal)
      cluster.stop()
      queries.clear()
    }
  }, [cluster, queries, session])

  const leave = useCallback(() => {
    if (!session) return
    logout(session).catch(() => {})
    setGate({ state: 'outside' })
  }, [session])
  const live = useMemo(() => (session ? { cluster, session, logout: leave } : undefined), [cluster, session, leave])

  switch (gate.state) {
    case 'asking':
      return (
        <div className="boot" aria-busy="true">
          <b>P2P Core</b>Asking the node…
        </div>
      )
    case 'unreachable':
      return (
        <main className="login">
          <Empty title="The node does not answer">
            <p>{gate.problem} It is asked again every few seconds.</p>
            <Button mt={12} onClick={() => void ask()}>
              Try again
            </Button>
          </Empty>
        </main>
      )
    case 'invited':
      return (
        <Invitation
          secret={gate.secret}
          onSession={(found) => setGate({ state: 'inside', session: found })}
          onLogin={() => setGate({ state: 'outside' })}
        />
      )
    case 'outside':
      return <Login refusal={gate.refusal} onSession={(found) => setGate({ state: 'inside', session: found })} />
    case 'inside':
      return <LiveContext value={live}>{children}</LiveContext>
  }
}

let isLinkUsed = false

/** By the link, or by the session this browser has already: also when the link was used a moment ago and its answer got lost. */
async function opened(login: string | undefined): Promise<Gate> {
  let refusal = oidcRefusal
  try {
    if (login !== undefined && !isLinkUsed) {
      try {
        const session = await loginByLink(login)
        isLinkUsed = true
        return { state: 'inside', session }
      } catch (error) {
        if (!isRefused(error)) throw error
        isLinkUsed = true
        refusal = messageOf(error)
      }
    }
    const session = await resumeSession()
    if (session) return { state: 'inside', session }
    return refusal === undefined ? { state: 'outside' } : { state: 'outside', refusal }
  } catch (error) {
    return { state: 'unreachable', problem: messageOf(error) }
  }
}
