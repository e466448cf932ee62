import { Button, TextInput } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { get, messageOf, send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { Account } from '../api/types.ts'
import { ConfirmButton } from '../components/confirm-button.tsx'
import { CurrentPassword } from '../components/current-password.tsx'
import { DataTable } from '../components/data-table.tsx'
import { Refusal } from '../components/empty.tsx'
import { NewPassword } from '../components/new-password.tsx'
import { Passkeys } from '../components/passkeys.tsx'
import { QrCode } from '../components/qr-code.tsx'
import { Facts, Section } from '../components/section.tsx'
import { Ago } from '../components/time.tsx'
import { Users } from '../components/users.tsx'
import { useLive } from '../live/use-live.ts'

/** The own account, and for admins everybody's. */
export function SettingsPage() {
  const renew = useRenew()
  const { session, logout } = useLive()
  const account = useQuery({
    queryKey: ['account'],
    queryFn: ({ signal }) => get<Account>('/auth/account', signal),
  })
  return (
    <div className="page">
      <h1>Settings</h1>
      {account.error && <Refusal>{messageOf(account.error)}</Refusal>}
      <Section
        title="Account"
        actions={
          <Button size="compact-sm" variant="default" onClick={logout}>
            Log out
          </Button>
        }
      >
        <div className="panel panel-pad">
          <Facts
            facts={[
              ['Name', session.me.name],
              ['Role', session.me.role],
            ]}
          />
          {account.data?.is_user === false && (
            <p className="muted">
              This session belongs to nobody in particular. Add yourself as a user, so that the record says who did
              what.
            </p>
          )}
        </div>
      </Section>
      {account.data?.is_user && (
        <div className="columns">
          <Password />
          <SecondStep account={account.data} />
        </div>
      )}
      {account.data?.is_user && <Passkeys account={account.data} onChange={renew} />}
      {account.data?.is_user && <Sessions account={account.data} />}
      {account.data && hasRole(session.me, 'admin') && <Users />}
    </div>
  )
}

function useRenew(): () => void {
  const queries = useQueryClient()
  return () => void queries.invalidateQueries({ queryKey: ['account'] })
}

function Password() {
  const { session } = useLive()
  const renew = useRenew()
  const [current, setCurrent] = useState('')
  const [next, setNext] = useState('')
  const changing = useMutation({
    mutationFn: () => send('PUT', '/auth/password', { current, next }),
    onSuccess: () => {
      setCurrent('')
      setNext('')
      renew()
    },
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    changing.mutate()
  }
  return (
    <Section title="Password">
      <form className="panel panel-pad form" onSubmit={submit}>
        <input type="text" autoComplete="username" value={session.me.name} readOnly hidden />
        <CurrentPassword label="Current password" value={current} onChange={setCurrent} />
        <NewPassword label="New password" value={next} onChange={setNext} />
        {changing.error && <Refusal>{messageOf(changing.error)}</Refusal>}
        {changing.isSuccess && (
          <div className="note" role="status">
            Changed. All other sessions have ended.
          </div>
        )}
        <div>
          <Button type="submit" loading={changing.isPending} disabled={current === '' || next === ''}>
            Change the password
          </Button>
        </div>
      </form>
    </Section>
  )
}

function SecondStep({ account }: { account: Account }) {
  const renew = useRenew()
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const beginning = useMutation({
    mutationFn: () => send<{ secret: string; address: string }>('POST', '/auth/totp', { password }),
    onSuccess: () => setPassword(''),
  })
  const confirming = useMutation({
    mutationFn: () => send<{ recovery_codes: string[] }>('PUT', '/auth/totp', { code: code.replaceAll(' ', '') }),
    onSuccess: () => {
      beginning.reset()
      setCode('')
      renew()
    },
  })
  const removing = useMutation({
    mutationFn: () => send('POST', '/auth/totp/remove', { password }),
    onSuccess: () => {
      setPassword('')
      confirming.reset()
      renew()
    },
  })
  const error = beginning.error ?? confirming.error ?? removing.error
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    if (beginning.data) confirming.mutate()
    else if (account.has_code) removing.mutate()
    else beginning.mutate()
  }
  return (
    <Section title="Second step" note={account.has_code ? 'on' : 'off'}>
      <form className="panel panel-pad form" onSubmit={submit}>
        {confirming.data && (
          <div className="note" role="status">
            <b>Keep these recovery codes.</b> Each lets you in once without your telephone. They are shown only now.
            <ul className="codes">
              {confirming.data.recovery_codes.map((text) => (
                <li key={text}>{text}</li>
              ))}
            </ul>
          </div>
        )}
        {beginning.data ? (
          <>
            <p>
              Scan this with your authenticator program,{' '}
              <a className="accent-link" href={beginning.data.address}>
                open it there
              </a>
              , or type the key in, as a time-based code.
            </p>
            <QrCode text={beginning.data.address} label="QR code for the authenticator program" />
            <p className="fingerprint note" data-testid="totp-secret">
              {beginning.data.secret.match(/.{1,4}/g)?.join(' ')}
            </p>
            <TextInput
              label="Code it shows"
              value={code}
              onChange={(event) => setCode(event.currentTarget.value)}
              inputMode="numeric"
              autoComplete="one-time-code"
              required
              withAsterisk={false}
            />
          </>
        ) : (
          <>
            <p className="muted">
              {account.has_code
                ? 'Logging in asks for a code of your authenticator.'
                : 'A code from your telephone, besides the password: who learns the password alone stays outside.'}
            </p>
            <CurrentPassword label="Your password" value={password} onChange={setPassword} />
          </>
        )}
        {error && <Refusal>{messageOf(error)}</Refusal>}
        <div className="form-row">
          <Button
            type="submit"
            {...(account.has_code && !beginning.data && { color: 'red' })}
            loading={beginning.isPending || confirming.isPending || removing.isPending}
            disabled={beginning.data ? code.trim() === '' : password === ''}
          >
            {beginning.data ? 'Turn it on' : account.has_code ? 'Turn it off' : 'Set it up'}
          </Button>
          {beginning.data && (
            <Button variant="default" onClick={() => beginning.reset()}>
              Cancel
            </Button>
          )}
        </div>
      </form>
    </Section>
  )
}

function Sessions({ account }: { account: Account }) {
  const renew = useRenew()
  return (
    <Section title="Sessions" note={`${account.sessions.length}`}>
      <DataTable
        label="Sessions"
        rows={account.sessions}
        keyOf={({ id }) => id}
        empty={null}
        columns={[
          {
            title: 'Where',
            cell: ({ kind, is_current: isCurrent }) => (
              <span className="name">{isCurrent ? 'This one' : kind === 'browser' ? 'Browser' : 'Program'}</span>
            ),
          },
          { title: 'Address', kind: 'grow', cell: ({ from }) => <span className="mono">{from}</span> },
          { title: 'Begun', cell: (row) => <Ago at={row.created_at_ms} /> },
          { title: 'Ends', kind: 'wide', cell: (row) => <Ago at={row.ends_at_ms} /> },
          {
            title: '',
            cell: (row) =>
              !row.is_current && (
                <span className="buttons">
                  <ConfirmButton
                    text="End"
                    title="End this session"
                    isDangerous
                    act={() => send('DELETE', `/auth/sessions/${encodeURIComponent(row.id)}`)}
                    onDone={renew}
                  >
                    Whoever uses it, a program or a browser, has to log in again.
                  </ConfirmButton>
                </span>
              ),
          },
        ]}
      />
    </Section>
  )
}
