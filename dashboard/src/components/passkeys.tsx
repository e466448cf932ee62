import { Button, TextInput } from '@mantine/core'
import { useMutation, useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { messageOf, send } from '../api/http.ts'
import { makePasskey } from '../api/passkeys.ts'
import { readSignInMethods } from '../api/session.ts'
import type { Account } from '../api/types.ts'
import { ConfirmButton } from './confirm-button.tsx'
import { CurrentPassword } from './current-password.tsx'
import { DataTable } from './data-table.tsx'
import { Refusal } from './empty.tsx'
import { Section } from './section.tsx'
import { Ago } from './time.tsx'

/** The own passkeys: what there is, and one more. */
export function Passkeys({ account, onChange }: { account: Account; onChange: () => void }) {
  const methods = useQuery({ queryKey: ['methods'], queryFn: readSignInMethods, staleTime: Infinity })
  const [password, setPassword] = useState('')
  const [label, setLabel] = useState('')
  const adding = useMutation({
    mutationFn: () => makePasskey(password, label),
    onSuccess: () => {
      setPassword('')
      setLabel('')
      onChange()
    },
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    adding.mutate()
  }
  return (
    <Section title="Passkeys" note={`${account.passkeys.length}`}>
      {account.passkeys.length > 0 && (
        <DataTable
          label="Passkeys"
          rows={account.passkeys}
          keyOf={({ id }) => id}
          empty={null}
          columns={[
            { title: 'Name', cell: (row) => <span className="name">{row.label}</span> },
            { title: 'Works at', kind: 'grow', cell: (row) => <span className="mono">{row.host}</span> },
            { title: 'Added', kind: 'wide', cell: (row) => <Ago at={row.created_at_ms} /> },
            {
              title: 'Used',
              cell: (row) =>
                row.used_at_ms === undefined ? <span className="muted">never</span> : <Ago at={row.used_at_ms} />,
            },
            {
              title: '',
              cell: (row) => (
                <span className="buttons">
                  <ConfirmButton
                    text="Remove"
                    title={`Remove ${row.label}`}
                    isDangerous
                    act={() => send('DELETE', `/auth/passkeys/${encodeURIComponent(row.id)}`)}
                    onDone={onChange}
                  >
                    It lets nobody in any more. Remove it from the device or password manager too.
                  </ConfirmButton>
                </span>
              ),
            },
          ]}
        />
      )}
      {methods.data?.passkey === false ? (
        <p className="note">
          Passkeys belong to a name. Open the dashboard by a host name of the coordinator, or as localhost on its own
          machine, to add or use one.
        </p>
      ) : (
        <form className="panel panel-pad form form-narrow" onSubmit={submit}>
          <p className="muted">
            Log in with a finger, a face or a security key, without password and code. Nobody can trick you out of it.
          </p>
          <TextInput
            label="Name of the passkey"
            placeholder="Laptop"
            value={label}
            onChange={(event) => setLabel(event.currentTarget.value)}
            maxLength={64}
            autoComplete="off"
            required
            withAsterisk={false}
          />
          <CurrentPassword label="Your password, for the passkey" value={password} onChange={setPassword} />
          {adding.error && <Refusal>{messageOf(adding.error)}</Refusal>}
          <div>
            <Button type="submit" loading={adding.isPending} disabled={password === '' || label.trim() === ''}>
              Add a passkey
            </Button>
          </div>
        </form>
      )}
    </Section>
  )
}
