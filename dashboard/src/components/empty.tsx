import type { ReactNode } from 'react'

/** Nothing is here: says so, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <b>{title}</b>
      {children}
    </div>
  )
}

/** A refusal, in the node's own words. */
export function Refusal({ children }: { children: ReactNode }) {
  return (
    <div className="note note-bad" role="alert">
      {children}
    </div>
  )
}
