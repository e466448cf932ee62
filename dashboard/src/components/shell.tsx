import { ActionIcon, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { Link, Outlet, useRouterState } from '@tanstack/react-router'
import { useEffect, useRef, useState } from 'react'
import type { ClusterView } from '../live/cluster-view.ts'
import { usePageTitle } from '../live/page-title.ts'
import { useCluster, useLive } from '../live/use-live.ts'
import { Dialog } from './confirm-button.tsx'
import { timeOfDay } from './format.ts'
import {
  CertificatesIcon,
  EventsIcon,
  LeaveIcon,
  LogsIcon,
  MoonIcon,
  NodesIcon,
  OverviewIcon,
  PersonIcon,
  ServicesIcon,
  SunIcon,
  UpdatesIcon,
} from './icons.tsx'
import { Mark, type Tone } from './state.tsx'

/** `short`: where there is room for few letters. */
const LINKS = [
  { to: '/', text: 'Overview', short: 'Overview', icon: <OverviewIcon />, key: '1' },
  { to: '/nodes', text: 'Nodes', short: 'Nodes', icon: <NodesIcon />, key: '2' },
  { to: '/services', text: 'Services', short: 'Services', icon: <ServicesIcon />, key: '3' },
  { to: '/logs', text: 'Logs', short: 'Logs', icon: <LogsIcon />, key: '4' },
  { to: '/updates', text: 'Updates', short: 'Updates', icon: <UpdatesIcon />, key: '5' },
  { to: '/certificates', text: 'Certificates', short: 'Certs', icon: <CertificatesIcon />, key: '6' },
  { to: '/events', text: 'Events', short: 'Events', icon: <EventsIcon />, key: '7' },
] as const

/** The frame of every page: where one is, who one is, and whether what is shown is still true. */
export function Shell() {
  const name = useCluster((view) => view.cluster?.name)
  const urgent = useCluster((view) => view.attention.filter(({ severity }) => severity === 'error').length)
  const tone = useCluster(toneOfView)
  const [isHelping, setHelping] = useState(false)
  usePageTitle(name, urgent, tone)
  useKeys(() => setHelping(true))
  return (
    <div className="shell">
      <a className="skip" href="#main">
        To the content
      </a>
      <header className="nav">
        <div className="brand">
          <b>P2P Core</b>
          <span className="muted small brand-name">{name ?? '\u00a0'}</span>
          <ConnectionMark />
        </div>
        <nav className="nav-links" aria-label="Pages">
          {LINKS.map(({ to, text, short, icon, key }) => (
            <Link
              key={to}
              to={to}
              className="nav-link"
              activeOptions={{ exact: to === '/' }}
              title={`${text} (${key})`}
              aria-label={text}
              aria-keyshortcuts={key}
            >
              {icon}
              <span className="nav-text">{text}</span>
              <span className="nav-short">{short}</span>
              {to === '/' && urgent > 0 && (
                <span className="count" aria-label={`${urgent} need attention`}>
                  {urgent}
                </span>
              )}
            </Link>
          ))}
        </nav>
        <Foot />
      </header>
      <ConnectionBanner />
      <main className="main" id="main" tabIndex={-1}>
        <Outlet />
      </main>
      <Dialog title="Keys" isOpen={isHelping} onClose={() => setHelping(false)}>
        <dl className="facts keys">
          {LINKS.map(({ text, key }) => (
            <KeyRow key={key} keys={key} what={text} />
          ))}
          <KeyRow keys="/" what="Search the log" />
          <KeyRow keys="?" what="This list" />
          <KeyRow keys="Enter ↑ ↓" what="In the log: choose a line, go on to its neighbours" />
          <KeyRow keys="← → Enter" what="In a graph: read its values, see the log of that moment" />
        </dl>
      </Dialog>
    </div>
  )
}

function KeyRow({ keys, what }: { keys: string; what: string }) {
  return (
    <>
      <dt>
        {keys.split(' ').map((key) => (
          <kbd key={key}>{key}</kbd>
        ))}
      </dt>
      <dd>{what}</dd>
    </>
  )
}

function toneOfView({ isLoaded, connection, attention }: ClusterView): Tone {
  if (!isLoaded || connection === 'offline') return 'off'
  if (attention.some(({ severity }) => severity === 'error')) return 'bad'
  return attention.some(({ severity }) => severity === 'warning') ? 'warn' : 'ok'
}

const CONNECTIONS: Record<ClusterView['connection'], { tone: Tone; word: string; title: string }> = {
  connecting: { tone: 'off', word: 'connecting', title: 'The node is asked for the first time' },
  live: { tone: 'ok', word: 'live', title: 'The node tells every change at once' },
  polling: { tone: 'ok', word: 'every 4 s', title: 'The node is asked every 4 s: its WebSocket is not there' },
  offline: { tone: 'bad', word: 'disconnected', title: 'The node does not answer; it is tried again by itself' },
}

function ConnectionMark() {
  const connection = useCluster((view) => view.connection)
  const { tone, word, title } = CONNECTIONS[connection]
  return (
    <span className="connection small" title={title} data-connection={connection}>
      <Mark tone={tone} />
      {word}
    </span>
  )
}

function Foot() {
  const { session, logout } = useLive()
  const { setColorScheme } = useMantineColorScheme()
  const scheme = useComputedColorScheme('light')
  return (
    <div className="nav-foot">
      <Link to="/settings" className="who small" title="Settings">
        <PersonIcon />
        <span className="who-name">{session.me.name}</span>
        <span className="who-role muted">{session.me.role}</span>
        <span className="hidden-text">Settings</span>
      </Link>
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={scheme === 'dark' ? 'Light colours' : 'Dark colours'}
        onClick={() => setColorScheme(scheme === 'dark' ? 'light' : 'dark')}
      >
        {scheme === 'dark' ? <SunIcon /> : <MoonIcon />}
      </ActionIcon>
      <ActionIcon variant="subtle" color="gray" aria-label="Log out" onClick={logout}>
        <LeaveIcon />
      </ActionIcon>
    </div>
  )
}

const BACK_SHOWN_MS = 4_000

function ConnectionBanner() {
  const connection = useCluster((view) => view.connection)
  const isLoaded = useCluster((view) => view.isLoaded)
  const heardAt = useCluster((view) => view.heardAt)
  const isBack = useIsBack(connection)
  return (
    <div className="banners" aria-live="polite">
      {connection === 'offline' && (
        <div className="banner">
          <b>Disconnected.</b>{' '}
          {isLoaded ? (
            <>
              What is shown is from {timeOfDay(new Date(heardAt).toISOString()).slice(0, 8)}; it catches up by itself.
            </>
          ) : (
            'The page catches up by itself.'
          )}
        </div>
      )}
      {isBack && <div className="banner banner-ok">Connected again. What is shown is what is now.</div>}
    </div>
  )
}

/** True for a moment after the connection has come back. */
function useIsBack(connection: ClusterView['connection']): boolean {
  const [isBack, setBack] = useState(false)
  const before = useRef(connection)
  useEffect(() => {
    const wasOffline = before.current === 'offline'
    before.current = connection
    if (!wasOffline || connection === 'offline') {
      setBack(false)
      return
    }
    setBack(true)
    const timer = setTimeout(() => setBack(false), BACK_SHOWN_MS)
    return () => clearTimeout(timer)
  }, [connection])
  return isBack
}

/** Figures open the pages, `/` the search of the log, `?` tells so, unless somebody is typing. */
function useKeys(onHelp: () => void): void {
  const path = useRouterState({ select: ({ location }) => location.pathname })
  const help = useRef(onHelp)
  help.current = onHelp
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof Element && event.target.closest('input, textarea, select, [role=dialog]')
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return
      if (event.key === '?') help.current()
      const search = event.key === '/' ? document.querySelector<HTMLInputElement>('input[type=search]') : null
      if (search) {
        event.preventDefault()
        search.focus()
        return
      }
      const key = event.key === '/' ? '4' : event.key
      const link = document.querySelector<HTMLAnchorElement>(`.nav-link[aria-keyshortcuts="${CSS.escape(key)}"]`)
      link?.click()
    }
    document.addEventListener('keydown', onKey)
    return () => {
      document.removeEventListener('keydown', onKey)
    }
  }, [])
  // Another page begins at its top, for eyes and for screen readers alike.
  const isFirst = useRef(true)
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false
      return
    }
    const main = document.getElementById('main')
    main?.scrollTo(0, 0)
    main?.focus({ preventScroll: true })
  }, [path])
}
