/* Drawn on a 16 × 16 grid, in the colour of the text beside them. */
import type { ReactNode } from 'react'

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.4" aria-hidden>
      {children}
    </svg>
  )
}

export const OverviewIcon = () => (
  <Icon>
    <path d="M2.5 2.5h4.5v6H2.5zM9 2.5h4.5v3H9zM9 7.5h4.5v6H9zM2.5 10.5h4.5v3H2.5z" />
  </Icon>
)
export const NodesIcon = () => (
  <Icon>
    <path d="M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01" strokeLinecap="round" />
  </Icon>
)
export const ServicesIcon = () => (
  <Icon>
    <path d="M8 1.8 13.5 5v6L8 14.2 2.5 11V5zM2.5 5 8 8.2 13.5 5M8 8.2v6" strokeLinejoin="round" />
  </Icon>
)
export const LogsIcon = () => (
  <Icon>
    <path d="M2.5 4h11M2.5 8h7M2.5 12h9" strokeLinecap="round" />
  </Icon>
)
export const CertificatesIcon = () => (
  <Icon>
    <path d="M8 1.8 13 4v4c0 3-2.2 5.2-5 6.2C5.2 13.2 3 11 3 8V4z M5.8 8l1.6 1.6L10.4 6.5" strokeLinejoin="round" />
  </Icon>
)
export const UpdatesIcon = () => (
  <Icon>
    <path d="M8 13.5v-11M3.8 6.7 8 2.5l4.2 4.2M3 13.5h10" strokeLinecap="round" strokeLinejoin="round" />
  </Icon>
)
export const EventsIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="5.7" />
    <path d="M8 4.8V8l2.2 1.5" strokeLinecap="round" />
  </Icon>
)
export const SunIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="2.8" />
    <path
      d="M8 1.5v1.6M8 12.9v1.6M1.5 8h1.6M12.9 8h1.6M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M12.6 3.4l-1.1 1.1M4.5 11.5l-1.1 1.1"
      strokeLinecap="round"
    />
  </Icon>
)
export const MoonIcon = () => (
  <Icon>
    <path d="M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z" strokeLinejoin="round" />
  </Icon>
)
export const PersonIcon = () => (
  <Icon>
    <path
      d="M8 8.2a2.9 2.9 0 1 0 0-5.8 2.9 2.9 0 0 0 0 5.8zM2.8 13.8c.5-2.6 2.5-4 5.2-4s4.7 1.4 5.2 4"
      strokeLinecap="round"
    />
  </Icon>
)
export const LeaveIcon = () => (
  <Icon>
    <path d="M6.5 2.5h-4v11h4M6 8h8M11 5l3 3-3 3" strokeLinecap="round" strokeLinejoin="round" />
  </Icon>
)
