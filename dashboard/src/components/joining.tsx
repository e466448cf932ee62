import { Button, NativeSelect, NumberInput } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { every } from '../api/asking.ts'
import { get, messageOf, send } from '../api/http.ts'
import type { JoinToken, PendingNode } from '../api/types.ts'
import { ConfirmButton } from './confirm-button.tsx'
import { DataTable } from './data-table.tsx'
import { Refusal } from './empty.tsx'
import { grouped } from './format.ts'
import { Facts, Section } from './section.tsx'
import { Ago } from './time.tsx'
import { visible } from './visible-text.ts'

const PENDING_EVERY_MS = 4_000

/** Machines that wait for approval; nothing while none does. */
export function PendingNodes({ isAdmin }: { isAdmin: boolean }) {
  const queries = useQueryClient()
  const pending = useQuery({
    queryKey: ['pending'],
    queryFn: ({ signal }) => get<{ pending: PendingNode[] }>('/api/nodes/pending', signal),
    refetchInterval: every(PENDING_EVERY_MS),
  })
  const onDone = (): void => void queries.invalidateQueries()
  const path = (node: PendingNode): string => `/api/nodes/${encodeURIComponent(node.request_id)}`
  // Only a coordinator lets machines in; on another node there is nothing to say here.
  if (!pending.data || pending.data.pending.length === 0) return null
  return (
    <Section title="Waiting for approval" note={`${pending.data?.pending.length ?? 0}`}>
      <DataTable
        label="Waiting for approval"
        rows={pending.data?.pending ?? []}
        keyOf={(node) => node.request_id}
        empty={null}
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

/** Makes tokens that let machines join, and withdraws them. */
export function JoinTokens() {
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
        <p className="muted">
          A token lets machines in without a word. A machine that runs <code>p2p join</code> without one waits on this
          page until somebody has compared its fingerprint.
        </p>
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
