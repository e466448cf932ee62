import { Button } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { every } from '../api/asking.ts'
import { ApiError, get, messageOf, send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { CaFacts, CaRotation, IssuedCertificate, NodeBan } from '../api/types.ts'
import { certificateFacts } from '../components/certificate-facts.ts'
import { ConfirmButton } from '../components/confirm-button.tsx'
import { DataTable } from '../components/data-table.tsx'
import { Empty, Refusal } from '../components/empty.tsx'
import { counted, dateTime, grouped } from '../components/format.ts'
import { PageLoading } from '../components/loading.tsx'
import { Facts, Section } from '../components/section.tsx'
import { Segments } from '../components/segments.tsx'
import { State } from '../components/state.tsx'
import { Ago, useNow } from '../components/time.tsx'
import { visible } from '../components/visible-text.ts'
import { useLive } from '../live/use-live.ts'

const CA_EVERY_MS = 5_000

/** By which certificates the nodes know each other: the chain, what ends when, and what to do about it. */
export function CertificatesPage() {
  const { session } = useLive()
  const isAdmin = hasRole(session.me, 'admin')
  const ca = useQuery({
    queryKey: ['ca'],
    queryFn: ({ signal }) => get<CaFacts>('/api/ca', signal),
    // Nodes renew by themselves, and at a word from here a moment later.
    refetchInterval: every(CA_EVERY_MS),
  })
  if (ca.isPending) return <PageLoading />
  return (
    <div className="page">
      <h1>Certificates</h1>
      {ca.error && <Refusal>{messageOf(ca.error)}</Refusal>}
      {ca.data && <Chain ca={ca.data} />}
      {ca.data && <Rotation isAdmin={isAdmin} />}
      {ca.data && <Issued ca={ca.data} isAdmin={isAdmin} />}
      {hasRole(session.me, 'operator') && <Banned isAdmin={isAdmin} />}
    </div>
  )
}

/** Root, issuing CA, certificates of the nodes: each vouches for the next. */
function Chain({ ca }: { ca: CaFacts }) {
  const now = useNow()
  const root = certificateFacts(ca.ca_certificate)
  const issuing = certificateFacts(ca.issuing_certificate)
  const valid = ca.issued.filter((row) => ['valid', 'expiring'].includes(stateOf(row, now)))
  const next = valid.map(({ not_after_ms: end }) => end).sort((a, b) => a - b)[0]
  return (
    <Section title="Chain">
      <ol className="chain">
        <li className="panel panel-pad">
          <h3>Root of {ca.cluster}</h3>
          <Facts
            facts={[
              ['Ends', <Ago at={root?.notAfterMs ?? ca.not_after_ms} />],
              ['Valid until', dateTime(root?.notAfterMs ?? ca.not_after_ms)],
              ['SHA-256', <span className="fingerprint">{grouped(ca.ca_fingerprint)}</span>],
            ]}
          />
          <SavePem name={`${ca.cluster}-root`} pem={ca.ca_certificate} />
        </li>
        <li className="panel panel-pad">
          <h3>Issuing CA</h3>
          <Facts
            facts={
              issuing
                ? [
                    ['Ends', <Ago at={issuing.notAfterMs} />],
                    ['Valid until', dateTime(issuing.notAfterMs)],
                    ['Serial', <span className="fingerprint">{grouped(issuing.serial)}</span>],
                  ]
                : [['Ends', '–']]
            }
          />
          <SavePem name={`${ca.cluster}-issuing`} pem={ca.issuing_certificate} />
        </li>
        <li className="panel panel-pad">
          <h3>{counted(valid.length, 'valid certificate')}</h3>
          <Facts
            facts={[
              ['Next ends', next === undefined ? '–' : <Ago at={next} />],
              ['Made for', lifetime(ca.leaf_lifetime_ms)],
              ['Renewed', 'by the nodes themselves, with a new key each time'],
            ]}
          />
        </li>
      </ol>
    </Section>
  )
}

function SavePem({ name, pem }: { name: string; pem: string }) {
  const save = (): void => {
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([pem], { type: 'application/x-pem-file' }))
    link.download = `${name}.pem`
    link.click()
    URL.revokeObjectURL(link.href)
  }
  return (
    <Button size="compact-sm" variant="default" mt={10} onClick={save}>
      Save as PEM
    </Button>
  )
}

function lifetime(ms: number): string {
  const days = ms / 86_400_000
  return days >= 2 ? counted(Math.round(days), 'day') : counted(Math.round(ms / 3_600_000), 'hour')
}

const ROTATION_EVERY_MS = 3_000
const PHASES: Record<CaRotation['phase'], string> = {
  distributing: 'The nodes learn the new root',
  renewing: 'The nodes get certificates of the new CA',
  dropping: 'The nodes give the old one up',
  done: 'Done',
}
const MISSING: Record<string, string> = {
  trust: 'does not trust the new root yet',
  certificate: 'has no new certificate yet',
  drop: 'still trusts the old root',
}

/** Exchanging the root or the issuing CA while everything runs. */
function Rotation({ isAdmin }: { isAdmin: boolean }) {
  const queries = useQueryClient()
  const asked = useQuery({
    queryKey: ['ca', 'rotation'],
    queryFn: ({ signal }) => get<{ rotation: CaRotation | null }>('/api/ca/rotation', signal),
    refetchInterval: ({ state }) => (isUnderWay(state.data?.rotation) ? ROTATION_EVERY_MS : false),
  })
  const onDone = (): void => void queries.invalidateQueries({ queryKey: ['ca'] })
  const rotation = asked.data?.rotation
  if (!asked.data) return null
  return (
    <Section
      title="Exchange of the CA"
      actions={
        isAdmin &&
        !isUnderWay(rotation) && (
          <>
            <ConfirmButton
              text="Renew all certificates"
              title="Exchange the issuing CA"
              confirm="Exchange it"
              act={() => send('POST', '/api/ca/rotation', { kind: 'issuing' })}
              onDone={onDone}
            >
              A new issuing CA is made, every node gets a new certificate of it, and the old one is revoked. Nothing
              stops meanwhile; nodes that are switched off are waited for.
            </ConfirmButton>
            <ConfirmButton
              text="Exchange the root"
              title="Exchange the root"
              confirm="Exchange it"
              isDangerous
              act={() => send('POST', '/api/ca/rotation', { kind: 'root' })}
              onDone={onDone}
            >
              A new root is made, every node learns to trust it and gets a new certificate, then the old root is given
              up. People who logged in before can go on; programs that keep the root need the new one.
            </ConfirmButton>
          </>
        )
      }
    >
      <div className="panel panel-pad form" role="status">
        {rotation ? (
          <>
            <div>
              {isUnderWay(rotation) ? <State word={PHASES[rotation.phase]} tone="warn" /> : null}
              {rotation.phase === 'done' && (
                <>
                  <State word={`The ${rotation.kind === 'root' ? 'root' : 'issuing CA'} was exchanged`} tone="ok" />{' '}
                  <span className="muted">
                    <Ago at={rotation.phase_since_ms} />
                  </span>
                </>
              )}
            </div>
            {isUnderWay(rotation) && (
              <div>
                {rotation.nodes_followed} of {counted(rotation.nodes_total, 'node')} have followed
                <progress
                  value={rotation.nodes_followed}
                  max={Math.max(1, rotation.nodes_total)}
                  aria-label="Nodes that have followed"
                />
              </div>
            )}
            {rotation.waiting_for.map(({ node_id: node, status, missing }) => (
              <p key={node} className="muted wrap">
                {visible(node)} ({status}) {MISSING[missing] ?? missing}
              </p>
            ))}
            {rotation.left_behind.length > 0 && (
              <p className="muted wrap">Left behind: {visible(rotation.left_behind.join(', '))}</p>
            )}
            {isAdmin && isUnderWay(rotation) && rotation.waiting_for.length > 0 && (
              <div>
                <ConfirmButton
                  text="Go on without them"
                  title="Go on without the nodes that have not followed"
                  isDangerous
                  act={() => send('POST', '/api/ca/rotation/finish', { force: true })}
                  onDone={onDone}
                >
                  The others refuse their certificates. When such a node comes back, it asks what to trust and is
                  renewed.
                </ConfirmButton>
              </div>
            )}
          </>
        ) : (
          <p className="muted">The CA is the one this cluster began with.</p>
        )}
      </div>
    </Section>
  )
}

function isUnderWay(rotation: CaRotation | null | undefined): rotation is CaRotation {
  return rotation !== null && rotation !== undefined && rotation.phase !== 'done'
}

const DAY_MS = 86_400_000
const LONG_LIFE_MS = 90 * DAY_MS
const LONG_MARGIN_MS = 30 * DAY_MS

/** So long before its end a node renews a certificate: 30 days, or a third of a short life. */
function marginOf({ not_before_ms: from, not_after_ms: until }: IssuedCertificate): number {
  return until - from >= LONG_LIFE_MS ? LONG_MARGIN_MS : (until - from) / 3
}
const VIEWS = [
  { value: 'present', text: 'In use' },
  { value: 'all', text: 'All that were issued' },
] as const

function Issued({ ca, isAdmin }: { ca: CaFacts; isAdmin: boolean }) {
  const queries = useQueryClient()
  const now = useNow()
  const [view, setView] = useState<'present' | 'all'>('present')
  const all = [...ca.issued].sort((a, b) => b.not_before_ms - a.not_before_ms)
  const rows = view === 'all' ? all : newestOf(all)
  const onDone = (): void => void queries.invalidateQueries()
  return (
    <Section
      title="Certificates of the nodes"
      note={`${rows.length}`}
      actions={<Segments label="Which" options={VIEWS} value={view} onChange={setView} />}
    >
      <DataTable
        label="Issued certificates"
        rows={rows}
        keyOf={({ serial }) => serial}
        empty={<Empty title="Nothing issued yet">Each node gets a certificate when it joins.</Empty>}
        columns={[
          {
            title: 'Node',
            cell: (row) => <span className="name name-cell">{visible(row.names?.join(', ') ?? row.node_id)}</span>,
            sortBy: (row) => row.node_id,
          },
          { title: 'State', cell: (row) => <State word={stateOf(row, now)} />, sortBy: (row) => stateOf(row, now) },
          { title: 'Role', kind: 'wide', cell: ({ role }) => role, sortBy: ({ role }) => role },
          {
            title: 'Life',
            kind: 'wide',
            cell: (row) => <Life certificate={row} now={now} />,
            sortBy: (row) => lived(row, now),
          },
          {
            title: 'Ends',
            kind: 'num',
            cell: (row) => <Ago at={row.not_after_ms} />,
            sortBy: (row) => row.not_after_ms,
          },
          {
            title: 'Renewal',
            kind: 'num wide',
            cell: (row) =>
              row.revoked_at_ms === undefined && now < row.not_after_ms ? (
                <Ago at={row.not_after_ms - marginOf(row)} />
              ) : (
                '–'
              ),
          },
          {
            title: 'Serial',
            kind: 'wide grow',
            cell: ({ serial }) => (
              <span className="mono muted" title={serial}>
                {serial}
              </span>
            ),
          },
          {
            title: '',
            kind: 'wide',
            cell: (row) =>
              isAdmin &&
              row.role !== 'server' && (
                <span className="buttons">
                  {row.revoked_at_ms === undefined && (
                    <ConfirmButton
                      text="Renew"
                      title={`Renew the certificate of ${visible(row.node_id)}`}
                      act={() => renew(row.node_id)}
                      onDone={onDone}
                    >
                      The node makes a new key and gets a new certificate now, instead of when it is due. Nothing stops
                      meanwhile.
                    </ConfirmButton>
                  )}
                  {row.revoked_at_ms === undefined && (
                    <ConfirmButton
                      text="Revoke"
                      title={`Shut ${visible(row.node_id)} out`}
                      isDangerous
                      act={() => send('DELETE', `/api/nodes/${encodeURIComponent(row.node_id)}/certificates`)}
                      onDone={onDone}
                    >
                      All its certificates are revoked. Every other node refuses it at once; it must join anew.
                    </ConfirmButton>
                  )}
                  <ConfirmButton
                    text="Ban"
                    title={`Ban ${visible(row.node_id)}`}
                    isDangerous
                    act={() => send('POST', `/api/nodes/${encodeURIComponent(row.node_id)}/ban`, {})}
                    onDone={onDone}
                  >
                    All its certificates are revoked, and its name and its keys are refused from now on, whatever they
                    show.
                  </ConfirmButton>
                </span>
              ),
          },
        ]}
      />
    </Section>
  )
}

/** @throws {ApiError} the node does not answer, or refuses */
async function renew(nodeId: string): Promise<void> {
  const body = { jsonrpc: '2.0', id: 1, method: 'system/renew_certificate', params: {} }
  const path = `/rpc?node=${encodeURIComponent(nodeId)}`
  const { error } = await send<{ error?: { message: string } }>('POST', path, body)
  if (error) throw new ApiError(200, 'RPC', error.message)
}

/** Of each node, or each name of a server, the newest. */
function newestOf(newestFirst: IssuedCertificate[]): IssuedCertificate[] {
  const byHolder = new Map<string, IssuedCertificate>()
  for (const row of newestFirst) {
    const holder = `${row.node_id} ${row.names?.join() ?? ''}`
    if (!byHolder.has(holder)) byHolder.set(holder, row)
  }
  return [...byHolder.values()].sort((a, b) => a.node_id.localeCompare(b.node_id, 'en', { numeric: true }))
}

function lived({ not_before_ms: from, not_after_ms: until }: IssuedCertificate, now: number): number {
  return Math.min(1, Math.max(0, (now - from) / Math.max(1, until - from)))
}

function Life({ certificate, now }: { certificate: IssuedCertificate; now: number }) {
  const part = lived(certificate, now)
  const lifeMs = Math.max(1, certificate.not_after_ms - certificate.not_before_ms)
  return (
    <span className="life" title={`${Math.round(part * 100)} % of its life is over`}>
      <span className="life-renewal" style={{ left: `${((1 - marginOf(certificate) / lifeMs) * 100).toFixed(1)}%` }} />
      <span
        className={stateOf(certificate, now) === 'expiring' ? 'life-over warn' : 'life-over'}
        style={{ width: `${(part * 100).toFixed(1)}%` }}
      />
      <span className="hidden-text">{Math.round(part * 100)} % over</span>
    </span>
  )
}

/** Expiring: it should have been renewed by now, and some more. */
function stateOf(certificate: IssuedCertificate, now: number) {
  if (certificate.revoked_at_ms !== undefined) return 'revoked'
  if (now > certificate.not_after_ms) return 'expired'
  return now > certificate.not_after_ms - marginOf(certificate) * 0.9 ? 'expiring' : 'valid'
}

function Banned({ isAdmin }: { isAdmin: boolean }) {
  const queries = useQueryClient()
  const banned = useQuery({
    queryKey: ['banned'],
    queryFn: ({ signal }) => get<{ banned: NodeBan[] }>('/api/nodes/banned', signal),
  })
  const rows = banned.data?.banned ?? []
  if (rows.length === 0) return null
  return (
    <Section title="Banned" note={`${rows.length}`}>
      <DataTable
        label="Banned nodes"
        rows={rows}
        keyOf={(row) => row.node_id}
        empty={null}
        columns={[
          { title: 'Node', cell: (row) => <span className="name">{visible(row.node_id)}</span> },
          { title: 'Since', cell: (row) => <Ago at={row.banned_at_ms} /> },
          { title: 'Why', kind: 'wide grow', cell: ({ reason }) => visible(reason ?? '') },
          {
            title: '',
            cell: (row) =>
              isAdmin && (
                <span className="buttons">
                  <ConfirmButton
                    text="Lift the ban"
                    title={`Let ${visible(row.node_id)} ask again`}
                    act={() => send('DELETE', `/api/nodes/${encodeURIComponent(row.node_id)}/ban`)}
                    onDone={() => void queries.invalidateQueries()}
                  >
                    It stays out until it joins with a token made afterwards, or is approved, with a new key.
                  </ConfirmButton>
                </span>
              ),
          },
        ]}
      />
    </Section>
  )
}
