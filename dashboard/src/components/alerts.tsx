import { Button } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { every } from '../api/asking.ts'
import { get, messageOf, send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { Alert, Alerts, AlertTest } from '../api/types.ts'
import { useCluster, useLive } from '../live/use-live.ts'
import { Refusal } from './empty.tsx'
import { dateTime } from './format.ts'
import { Section } from './section.tsx'
import { Mark, State, toneOf } from './state.tsx'
import { Ago } from './time.tsx'
import { visible } from './visible-text.ts'

const EVERY_MS = 4_000
const SILENCES = [
  { text: 'Silence for 1 h', hours: 1 },
  { text: '1 day', hours: 24 },
] as const

/** What the node tells of its alerts: pushed, or asked for where nobody pushes. Undefined until it did, and where it keeps none. */
export function useAlerts(): Alerts | undefined {
  const pushed = useCluster((view) => view.alerts)
  const alerts = useQuery({
    queryKey: ['alerts'],
    queryFn: ({ signal }) => get<Alerts>('/api/alerts', signal),
    refetchInterval: every(EVERY_MS),
    enabled: pushed === undefined,
  })
  return pushed ?? alerts.data
}

/** What fires, the worst at the top. Nothing at all where nothing does. */
export function FiringAlerts({ alerts }: { alerts: Alerts | undefined }) {
  const attention = useCluster((view) => view.attention)
  const firing = alerts?.alerts.filter(({ state }) => state === 'firing') ?? []
  if (firing.length === 0) return null
  // An alert stays for a while when its trouble has gone.
  const present = new Set(attention.flatMap(({ id, title }) => [id, title]))
  // Errors that rise in the log are told of by their alert alone.
  const isGone = ({ id, rule, title }: Alert): boolean => rule !== 'logs' && !present.has(id) && !present.has(title)
  return (
    <Section title="Alerts" note={`${firing.length} firing`}>
      <div className="panel">
        {firing.map((alert) => (
          <AlertRow key={alert.id} alert={alert} isGone={isGone(alert)} />
        ))}
      </div>
    </Section>
  )
}

function AlertRow({ alert, isGone }: { alert: Alert; isGone: boolean }) {
  const { session } = useLive()
  const queries = useQueryClient()
  const onSuccess = (): Promise<void> => queries.invalidateQueries({ queryKey: ['alerts'] })
  const acknowledging = useMutation({
    mutationFn: () => send('POST', '/api/alerts/acknowledge', { id: alert.id }),
    onSuccess,
  })
  const silencing = useMutation({
    mutationFn: (hours: number) => {
      const until = new Date(Date.now() + hours * 3_600_000).toISOString()
      return send('POST', '/api/alerts/silences', { alert_id: alert.id, until })
    },
    onSuccess,
  })
  const failure = acknowledging.error ?? silencing.error
  const isQuiet = alert.silenced_until !== undefined
  const notes = [...(isGone ? ['Gone at the moment: it ends by itself when it stays away'] : []), ...notesOf(alert)]
  return (
    <div className="attention alert-row">
      <span className="state">
        <Mark tone={isGone || alert.severity === 'info' ? 'off' : toneOf(alert.severity)} />
        <span className="hidden-text">{alert.severity}</span>
      </span>
      <b className="wrap">
        <AlertTitle alert={alert} />
      </b>
      <span className="muted small">
        <Ago at={alert.since} />
      </span>
      <p className="muted wrap">{visible(alert.detail)}</p>
      {alert.remedy !== undefined && <p className="wrap">{visible(alert.remedy)}</p>}
      <div className="alert-foot">
        {notes.length > 0 && <span className="muted small wrap">{notes.join(' · ')}</span>}
        {hasRole(session.me, 'operator') && (
          <span className="actions">
            {!alert.acknowledged && (
              <Button
                size="compact-sm"
                variant="default"
                loading={acknowledging.isPending}
                onClick={() => acknowledging.mutate()}
              >
                I take care of it
              </Button>
            )}
            {!isQuiet &&
              SILENCES.map(({ text, hours }) => (
                <Button
                  key={text}
                  size="compact-sm"
                  variant="default"
                  disabled={silencing.isPending}
                  onClick={() => silencing.mutate(hours)}
                >
                  {text}
                </Button>
              ))}
          </span>
        )}
      </div>
      {failure && <Refusal>{messageOf(failure)}</Refusal>}
    </div>
  )
}

function AlertTitle({ alert: { title, service, node_id: nodeId } }: { alert: Alert }) {
  if (service !== undefined) {
    return (
      <Link to="/services/$service" params={{ service }}>
        {visible(title)}
      </Link>
    )
  }
  if (nodeId === undefined) return visible(title)
  return (
    <Link to="/nodes/$nodeId" params={{ nodeId }}>
      {visible(title)}
    </Link>
  )
}

function notesOf({ is_flapping: isFlapping, acknowledged, silenced_until: until }: Alert): string[] {
  return [
    ...(isFlapping ? ['It comes and goes'] : []),
    ...(acknowledged ? [`${visible(acknowledged.by.replace(/^person:/, ''))} takes care of it`] : []),
    ...(until === undefined ? [] : [`Silenced until ${dateTime(until).slice(5, 16)}`]),
  ]
}

/** What was over lately, what is silenced, and whom alerts are sent to, with a test. */
export function AlertsPanel() {
  const alerts = useAlerts()
  const { session } = useLive()
  const queries = useQueryClient()
  const ending = useMutation({
    mutationFn: (id: string) => send('DELETE', `/api/alerts/silences/${encodeURIComponent(id)}`),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['alerts'] }),
  })
  const mayChange = hasRole(session.me, 'operator')
  if (!alerts) return null
  const over = alerts.alerts.filter(({ state }) => state === 'resolved')
  return (
    <div className="stack">
      <FiringAlerts alerts={alerts} />
      <Targets targets={alerts.targets} mayTest={mayChange} />
      {alerts.silences.length > 0 && (
        <Section title="Silences" note={`${alerts.silences.length}`}>
          <div className="panel">
            {alerts.silences.map(({ id, alert_id: alert, rule, node_id: node, service, until, by, reason }) => (
              <div key={id} className="alert-line">
                <span className="wrap">
                  {visible([alert, rule, node, service].filter(Boolean).join(' · '))}{' '}
                  <span className="muted small">
                    until {dateTime(until).slice(5, 16)}, by {visible(by.replace(/^person:/, ''))}
                    {reason === undefined ? '' : `: ${visible(reason)}`}
                  </span>
                </span>
                {mayChange && (
                  <Button size="compact-sm" variant="default" onClick={() => ending.mutate(id)}>
                    End
                  </Button>
                )}
              </div>
            ))}
          </div>
        </Section>
      )}
      {over.length > 0 && (
        <Section title="Over" note="within the last day">
          <div className="panel">
            {over.map((alert) => (
              <div key={alert.id} className="alert-line">
                <span className="wrap">
                  <AlertTitle alert={alert} />
                </span>
                <span className="muted small">{alert.resolved_at !== undefined && <Ago at={alert.resolved_at} />}</span>
              </div>
            ))}
          </div>
        </Section>
      )}
    </div>
  )
}

function Targets({ targets, mayTest }: { targets: Alerts['targets']; mayTest: boolean }) {
  const testing = useMutation({ mutationFn: () => send<AlertTest>('POST', '/api/alerts/test', {}) })
  const results = new Map(testing.data?.results.map((result) => [result.target, result]))
  return (
    <Section
      title="Sent to"
      actions={
        mayTest && targets.length > 0 ? (
          <Button size="compact-sm" variant="default" loading={testing.isPending} onClick={() => testing.mutate()}>
            Send a test
          </Button>
        ) : undefined
      }
    >
      <div className="panel">
        {targets.length === 0 && (
          <p className="panel-pad muted">
            Nobody: alerts are only shown here. The key <span className="mono">alerts</span> in the coordinator’s
            configuration names webhooks, e-mail and a script.
          </p>
        )}
        {targets.map(({ name, waiting, failure, last_sent: last }) => {
          const result = results.get(name)
          return (
            <div key={name} className="alert-line">
              <span className="wrap">
                {visible(name)}{' '}
                <span className="muted small">
                  {waiting > 0 ? `${waiting} waiting` : last === undefined ? 'nothing sent yet' : ''}
                  {waiting === 0 && last !== undefined && (
                    <>
                      last sent <Ago at={last} />
                    </>
                  )}
                </span>
              </span>
              {result ? (
                <State
                  word={result.sent ? `took the test in ${result.duration_ms} ms` : visible(result.failure ?? 'failed')}
                  tone={result.sent ? 'ok' : 'bad'}
                />
              ) : (
                failure !== undefined && <State word={visible(failure)} tone="bad" />
              )}
            </div>
          )
        })}
      </div>
      {testing.error && <Refusal>{messageOf(testing.error)}</Refusal>}
    </Section>
  )
}
