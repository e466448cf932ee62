import { Button, NativeSelect, NumberInput } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { get, messageOf, send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { CaFacts, IssuedCertificate, JoinToken, PendingNode } from '../api/types.ts'
import { ConfirmButton } from '../components/confirm-button.tsx'
import { DataTable } from '../components/data-table.tsx'
import { Empty, Refusal } from '../components/empty.tsx'
import { dateTime } from '../components/format.ts'
import { Facts, Section } from '../components/section.tsx'
import { State } from '../components/state.tsx'
import { Ago, useNow } from '../components/time.tsx'
import { visible } from '../components/visible-text.ts'
import { useLive } from '../live/use-live.ts'

const PENDING_EVERY_MS = 3_000

/** Who is in, who wants in, and by which certificate. */
export function TrustPage() {
  const { session } = useLive()
  const isAdmin = hasRole(session.me, 'admin')
  const ca = useQuery({ queryKey: ['ca'], queryFn: ({ signal }) => get<CaFacts>('/api/ca', signal) })
  return (
    <div className="page">
      <h1>Joining and certificates</h1>
      {ca.error && <Refusal>{messageOf(ca.error)}</Refusal>}
      {hasRole(session.me, 'operator') && <Pending isAdmin={isAdmin} />}
      {isAdmin && <Tokens />}
      {ca.data && <Issued ca={ca.data} isAdmin={isAdmin} />}
      {ca.data && (
        <Section title="Authority">
          <div className="panel panel-pad">
            <Facts
              facts={[
                ['Cluster', ca.data.cluster],
                ['Fingerprint', <span className="fingerprint">{grouped(ca.data.ca_fingerprint)}</span>],
                ['Valid until', dateTime(ca.data.not_after_ms)],
              ]}
            />
          </div>
        </Section>
      )}
    </div>
  )
}

/** Hex in groups of four, to compare by eye. */
function grouped(hex: string): string {
  return hex.includes(':') ? hex : (hex.match(/.{1,4}/g)?.join(' ') ?? hex)
}

function Pending({ isAdmin }: { isAdmin: boolean }) {
  const queries = useQueryClient()
  const pending = useQuery({
    queryKey: ['pending'],
    queryFn: ({ signal }) => get<{ pending: PendingNode[] }>('/api/nodes/pending', signal),
    refetchInterval: PENDING_EVERY_MS,
  })
  const onDone = (): void => void queries.invalidateQueries()
  const path = (node: PendingNode): string => `/api/nodes/${encodeURIComponent(node.request_id)}`
  return (
    <Section title="Waiting for approval" note={`${pending.data?.pending.length ?? 0}`}>
      <DataTable
        label="Waiting for approval"
        rows={pending.data?.pending ?? []}
        keyOf={(node) => node.request_id}
        empty={
          <Empty title="Nobody waits">
            A machine that runs <code>p2p join</code> without a token appears here.
          </Empty>
        }
        columns={[
          { title: 'Node', cell: (node) => <span className="name">{visible(node.node_id)}</span> },
          { title: 'Role', kind: 'wide', cell: ({ role }) => role },
          { title: 'From', kind: 'wide', cell: (node) => <span className="mono">{visible(node.remote_address)}</span> },
          {
            title: 'Fingerprint',
            kind: 'wide grow',
            cell: ({ fingerprint }) => (
              <span className="mono" title={grouped(fingerprint)}>
                {fingerprint}
              </span>
            ),
          },
          { title: 'Since', kind: 'wide', cell: (node) => <Ago at={node.requested_at_ms} /> },
          {
            title: '',
            cell: (node) =>
              isAdmin && (
                <span className="buttons">
                  <ConfirmButton
                    text="Approve"
                    title={`Let ${visible(node.node_id)} in`}
                    act={() => send('POST', `${path(node)}/approve`, { fingerprint: node.fingerprint })}
                    onDone={onDone}
                  >
                    <p>Compare with what the machine shows. If it differs, somebody else is asking: reject it.</p>
                    <p className="fingerprint note">{grouped(node.fingerprint)}</p>
                    <Facts
                      facts={[
                        ['Role', node.role],
                        ['From', visible(node.remote_address)],
                        ['Names', visible([...node.dns_names, ...node.ip_addresses].join(', '))],
                      ]}
                    />
                  </ConfirmButton>
                  <ConfirmButton
                    text="Reject"
                    title={`Turn ${visible(node.node_id)} away`}
                    isDangerous
                    act={() => send('POST', `${path(node)}/reject`)}
                    onDone={onDone}
                  >
                    It gets no certificate. It may ask again.
                  </ConfirmButton>
                </span>
              ),
          },
        ]}
      />
    </Section>
  )
}

function Tokens() {
  const queries = useQueryClient()
  const [role, setRole] = useState('worker')
  const [uses, setUses] = useState<number | string>(1)
  const [minutes, setMinutes] = useState<number | string>(10)
  const tokens = useQuery({
    queryKey: ['tokens'],
    queryFn: ({ signal }) => get<{ tokens: JoinToken[] }>('/api/tokens', signal),
  })
  const renew = (): void => void queries.invalidateQueries({ queryKey: ['tokens'] })
  const making = useMutation({
    mutationFn: () =>
      send<{ token: string }>('POST', '/api/tokens', { role, uses: Number(uses), ttl_s: Number(minutes) * 60 }),
    onSuccess: renew,
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    making.mutate()
  }
  return (
    <Section title="Join tokens">
      <form className="panel panel-pad form" onSubmit={submit}>
        <div className="form-row">
          <NativeSelect
            label="Role"
            data={['worker', 'coordinator']}
            value={role}
            onChange={(event) => setRole(event.currentTarget.value)}
          />
          <NumberInput label="Machines" value={uses} onChange={setUses} min={1} max={1_000} w={110} hideControls />
          <NumberInput
            label="Minutes"
            value={minutes}
            onChange={setMinutes}
            min={1}
            max={43_200}
            w={110}
            hideControls
          />
          <Button type="submit" loading={making.isPending}>
            Make a token
          </Button>
        </div>
        {making.error && <Refusal>{messageOf(making.error)}</Refusal>}
        {making.data && (
          <div className="note" role="status">
            On the machine, run <code className="wrap">p2p join {making.data.token}</code>
            <p className="muted small">The token is shown only now.</p>
          </div>
        )}
      </form>
      {(tokens.data?.tokens.length ?? 0) > 0 && (
        <DataTable
          label="Join tokens"
          rows={tokens.data?.tokens ?? []}
          keyOf={(token) => token.token_id}
          empty={null}
          columns={[
            { title: 'Token', cell: (token) => <span className="mono">{token.token_id}</span> },
            { title: 'Role', cell: (token) => token.role },
            { title: 'Left', kind: 'num', cell: (token) => token.uses_left },
            { title: 'Ends', kind: 'wide', cell: (token) => <Ago at={token.expires_at_ms} /> },
            {
              title: '',
              cell: (token) => (
                <span className="buttons">
                  <ConfirmButton
                    text="Revoke"
                    title="Revoke the join token"
                    isDangerous
                    act={() => send('DELETE', `/api/tokens/${encodeURIComponent(token.token_id)}`)}
                    onDone={renew}
                  >
                    Machines that have not joined with it yet cannot any more.
                  </ConfirmButton>
                </span>
              ),
            },
          ]}
        />
      )}
    </Section>
  )
}

/** A certificate is renewed when two thirds of its life are over; one that was not by nine tenths deserves a look. */
const EXPIRING_FROM = 0.9

function Issued({ ca, isAdmin }: { ca: CaFacts; isAdmin: boolean }) {
  const queries = useQueryClient()
  const now = useNow()
  const rows = [...ca.issued].sort((a, b) => b.not_before_ms - a.not_before_ms)
  return (
    <Section title="Issued certificates" note={`${rows.length}`}>
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
          { title: 'Serial', kind: 'wide grow', cell: ({ serial }) => <span className="mono">{serial}</span> },
          {
            title: 'Ends',
            kind: 'num',
            cell: (row) => <Ago at={row.not_after_ms} />,
            sortBy: (row) => row.not_after_ms,
          },
          {
            title: '',
            kind: 'wide',
            cell: (row) =>
              isAdmin &&
              row.role !== 'server' &&
              row.revoked_at_ms === undefined && (
                <span className="buttons">
                  <ConfirmButton
                    text="Revoke"
                    title={`Shut ${visible(row.node_id)} out`}
                    isDangerous
                    act={() => send('DELETE', `/api/nodes/${encodeURIComponent(row.node_id)}/certificates`)}
                    onDone={() => void queries.invalidateQueries({ queryKey: ['ca'] })}
                  >
                    All its certificates are revoked. Every other node refuses it at once; it must join anew.
                  </ConfirmButton>
                </span>
              ),
          },
        ]}
      />
    </Section>
  )
}

function stateOf({ not_before_ms: from, not_after_ms: until, revoked_at_ms: revoked }: IssuedCertificate, now: number) {
  if (revoked !== undefined) return 'revoked'
  if (now > until) return 'expired'
  return now > from + (until - from) * EXPIRING_FROM ? 'expiring' : 'valid'
}
