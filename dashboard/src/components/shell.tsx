import { ActionIcon, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { Link, Outlet } from '@tanstack/react-router'
import { useEffect } from 'react'
import { useCluster, useLive } from '../live/use-live.ts'
import {
  EventsIcon,
  LeaveIcon,
  LogsIcon,
  MoonIcon,
  NodesIcon,
  OverviewIcon,
  PersonIcon,
  ServicesIcon,
  SunIcon,
  TrustIcon,
} from './icons.tsx'

const LINKS = [
  { to: '/', text: 'Overview', icon: <OverviewIcon />, key: '1' },
  { to: '/nodes', text: 'Nodes', icon: <NodesIcon />, key: '2' },
  { to: '/services', text: 'Services', icon: <ServicesIcon />, key: '3' },
  { to: '/logs', text: 'Logs', icon: <LogsIcon />, key: '4' },
  { to: '/trust', text: 'Joining', icon: <TrustIcon />, key: '5' },
  { to: '/events', text: 'Events', icon: <EventsIcon />, key: '6' },
] as const

/** The frame of every page: where one is, who one is, and whether what is shown is still true. */
export function Shell() {
  const name = useCluster((view) => view.cluster?.name)
  const urgent = useCluster((view) => view.attention.filter(({ severity }) => severity === 'error').length)
  useNumberKeys()
  return (
    <div className="shell">
      <header className="nav">
        <div className="brand">
          <b>P2P Core</b>
          <span className="muted small">{name ?? '\u00a0'}</span>
        </div>
        <nav className="nav-links" aria-label="Pages">
          {LINKS.map(({ to, text, icon, key }) => (
            <Link
              key={to}
              to={to}
              className="nav-link"
              activeOptions={{ exact: to === '/' }}
              title={`${text} (${key})`}
              aria-keyshortcuts={key}
            >
              {icon}
              {text}
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
    </div>
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

function ConnectionBanner() {
  const connection = useCluster((view) => view.connection)
  const isLoaded = useCluster((view) => view.isLoaded)
  return (
    <div aria-live="polite">
      {connection === 'offline' && (
        <div className="banner">
          Disconnected. {isLoaded ? 'What is shown is the last that was known; it' : 'The page'} catches up by itself.
        </div>
      )}
    </div>
  )
}

/** 1 to 6 open the pages, unless somebody is typing. */
function useNumberKeys(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof Element && event.target.closest('input, textarea, select, [role=dialog]')
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return
      const link = document.querySelector<HTMLAnchorElement>(`.nav-link[aria-keyshortcuts="${CSS.escape(event.key)}"]`)
      link?.click()
    }
    document.addEventListener('keydown', onKey)
    return () => {
      document.removeEventListener('keydown', onKey)
    }
  }, [])
}
