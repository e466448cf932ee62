import type { ReactNode } from 'react'

/** A part of a page under its heading. */
export function Section(props: { title: string; note?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  return (
    <section className="section" aria-label={props.title}>
      <div className="section-head">
        <h2>{props.title}</h2>
        {props.note !== undefined && <span className="muted small">{props.note}</span>}
        {props.actions !== undefined && <span className="actions">{props.actions}</span>}
      </div>
      {props.children}
    </section>
  )
}

/** Names and values. */
export function Facts({ facts }: { facts: [name: string, value: ReactNode][] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <Fact key={name} name={name} value={value} />
      ))}
    </dl>
  )
}

function Fact({ name, value }: { name: string; value: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  )
}
