import { useRouterState } from '@tanstack/react-router'
import { useEffect } from 'react'
import type { Tone } from '../components/state.tsx'

const NAMES: Record<string, string> = {
  '': 'Overview',
  nodes: 'Nodes',
  services: 'Services',
  logs: 'Logs',
  updates: 'Updates',
  certificates: 'Certificates',
  events: 'Events',
  settings: 'Settings',
}

/** Shapes as beside a state, in colours that can be told apart on light and dark tabs. */
const ICONS: Record<Tone, string> = {
  ok: '<circle cx="8" cy="8" r="6.5" fill="#2f9e6a"/>',
  warn: '<path d="M8 1 15.5 15H.5z" fill="#d9931e"/>',
  bad: '<path d="M2.5 2.5l11 11M13.5 2.5l-11 11" stroke="#e5484d" stroke-width="3.4"/>',
  off: '<circle cx="8" cy="8" r="5.6" fill="none" stroke="#8b8d98" stroke-width="2.4"/>',
}

/** The tab's title and mark: how many things need attention, which page, of which cluster. */
export function usePageTitle(cluster: string | undefined, urgent: number, tone: Tone): void {
  const path = useRouterState({ select: ({ location }) => location.pathname })
  useEffect(() => {
    const [page = '', item] = path.split('/').filter(Boolean)
    const place = item === undefined ? NAMES[page] : decodeURIComponent(item)
    document.title = [`${urgent > 0 ? `(${urgent}) ` : ''}${place ?? 'P2P Core'}`, cluster ?? 'P2P Core'].join(' · ')
  }, [path, cluster, urgent])
  useEffect(() => {
    const link = document.querySelector<HTMLLinkElement>('link[rel=icon]')
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${ICONS[tone]}</svg>`
    if (link) link.href = `data:image/svg+xml,${encodeURIComponent(svg)}`
  }, [tone])
}
