import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { get, messageOf } from '../api/http.ts'
import type { WhyAnswer } from '../api/types.ts'
import { Dialog } from './confirm-button.tsx'
import { Refusal } from './empty.tsx'
import { TimelineRows } from './timeline.tsx'
import { State, type Tone } from './state.tsx'
import { Ago } from './time.tsx'
import { visible } from './visible-text.ts'

const TONES: Record<WhyAnswer['state'], Tone> = { well: 'ok', degraded: 'warn', down: 'bad', stopped: 'off' }

/** Why it is as it is: the button, and the answer. */
export function WhyButton({ kind, name }: { kind: 'service' | 'node'; name: string }) {
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <Button size="compact-sm" variant="default" onClick={() => setOpen(true)}>
        Why?
      </Button>
      <Dialog title={`Why is ${name} as it is?`} isOpen={isOpen} onClose={() => setOpen(false)}>
        <Answer kind={kind} name={name} />
      </Dialog>
    </>
  )
}

function Answer({ kind, name }: { kind: 'service' | 'node'; name: string }) {
  const why = useQuery({
    queryKey: ['why', kind, name],
    queryFn: ({ signal }) => get<WhyAnswer>(`/api/why/${kind}/${encodeURIComponent(name)}`, signal),
    staleTime: 0,
    gcTime: 0,
  })
  if (why.error) return <Refusal>{messageOf(why.error)}</Refusal>
  if (!why.data) return <p className="muted">Looking…</p>
  const { state, summary, cause, before, logs, remedy } = why.data
  return (
    <div className="why">
      <State word={state} tone={TONES[state]} />
      <p className="wrap">{visible(summary)}</p>
      {cause && (
        <>
          <h3>
            {state === 'well' ? 'The last trouble' : 'The cause'}{' '}
            {cause.since !== undefined && (
              <span className="muted small">
                <Ago at={cause.since} />
              </span>
            )}
          </h3>
          <p className="wrap">{visible(cause.text)}</p>
        </>
      )}
      {remedy !== undefined && (
        <>
          <h3>What to do</h3>
          <p className="wrap">{visible(remedy)}</p>
        </>
      )}
      {before.length > 0 && (
        <>
          <h3>{cause ? 'What happened up to then' : 'What happened last'}</h3>
          <div className="panel">
            <TimelineRows events={before} />
          </div>
        </>
      )}
      {logs.length > 0 && (
        <>
          <h3>Its last warnings and errors</h3>
          {logs.map((line) => (
            <p key={`${line.timestamp}${line.message}`} className="mono small wrap">
              <span className="muted">
                {line.timestamp.slice(11, 19)} {line.node_id} {visible(line.logger_name)}
              </span>{' '}
              {visible(line.message)}
            </p>
          ))}
        </>
      )}
    </div>
  )
}
