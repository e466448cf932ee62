import { Button, NativeSelect, TextInput } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { get, messageOf, send } from '../api/http.ts'
import type { Role, User } from '../api/types.ts'
import { ConfirmButton } from './confirm-button.tsx'
import { DataTable } from './data-table.tsx'
import { Empty, Refusal } from './empty.tsx'
import { Section } from './section.tsx'
import { Ago } from './time.tsx'
import { visible } from './visible-text.ts'

const ROLES: Role[] = ['viewer', 'operator', 'admin']

interface Invited {
  user: User
  invitation?: { secret: string; ends_at_ms: number }
}

const userPath = (name: string): string => `/api/users/${encodeURIComponent(name)}`

/** Everybody who may use the cluster. */
export function Users() {
  const queries = useQueryClient()
  const [invited, setInvited] = useState<Invited>()
  const users = useQuery({
    queryKey: ['users'],
    queryFn: ({ signal }) => get<{ users: User[] }>('/api/users', signal),
  })
  const renew = (): void => void queries.invalidateQueries({ queryKey: ['users'] })
  const rows = users.data?.users ?? []
  return (
    <Section title="Users" note={`${rows.length}`}>
      <AddUser
        onAdded={(made) => {
          setInvited(made)
          renew()
        }}
      />
      {invited?.invitation && <InvitationLink invited={invited} />}
      {users.error && <Refusal>{messageOf(users.error)}</Refusal>}
      <DataTable
        label="Users"
        rows={rows}
        keyOf={({ name }) => name}
        empty={<Empty title="Nobody yet">Add yourself first, as admin.</Empty>}
        columns={[
          {
            title: 'Name',
            cell: ({ name }) => <span className="name name-cell short-name">{visible(name)}</span>,
            sortBy: ({ name }) => name,
          },
          {
            title: 'Role',
            cell: (user) => <RoleButton user={user} onDone={renew} />,
            sortBy: ({ role }) => ROLES.indexOf(role),
          },
          { title: 'Logs in by', kind: 'wide grow', cell: (user) => <Ways user={user} /> },
          { title: 'Sessions', kind: 'num wide', cell: ({ sessions }) => sessions, sortBy: ({ sessions }) => sessions },
          {
            title: 'Added',
            kind: 'wide',
            cell: (user) => <Ago at={user.created_at_ms} />,
            sortBy: (user) => user.created_at_ms,
          },
          {
            title: '',
            cell: (user) => (
              <span className="buttons">
                <ConfirmButton
                  text="Reset"
                  title={`Reset ${visible(user.name)}`}
                  isDangerous
                  act={async () => setInvited(await send<Invited>('POST', `${userPath(user.name)}/reset`))}
                  onDone={renew}
                >
                  Password, second step and all sessions end. You get an invitation link to hand over.
                </ConfirmButton>
                <ConfirmButton
                  text="Remove"
                  title={`Remove ${visible(user.name)}`}
                  isDangerous
                  act={() => send('DELETE', userPath(user.name))}
                  onDone={renew}
                >
                  All sessions end within seconds, at every node.
                </ConfirmButton>
              </span>
            ),
          },
        ]}
      />
    </Section>
  )
}

function Ways({ user }: { user: User }) {
  if (user.has_password) return user.has_code ? 'password and code' : 'password'
  if (user.invitation_ends_ms === undefined) return 'nothing'
  return (
    <span className="muted">
      invited, ends <Ago at={user.invitation_ends_ms} />
    </span>
  )
}

function AddUser({ onAdded }: { onAdded: (made: Invited) => void }) {
  const [name, setName] = useState('')
  const [role, setRole] = useState<string>('viewer')
  const adding = useMutation({
    mutationFn: () => send<Invited>('POST', '/api/users', { name: name.trim().toLowerCase(), role }),
    onSuccess: (made) => {
      setName('')
      onAdded(made)
    },
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    adding.mutate()
  }
  return (
    <form className="panel panel-pad form" onSubmit={submit}>
      <div className="form-row">
        <TextInput
          label="Name"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
        />
        <NativeSelect label="Role" data={ROLES} value={role} onChange={(event) => setRole(event.currentTarget.value)} />
        <Button type="submit" loading={adding.isPending} disabled={name.trim() === ''}>
          Invite
        </Button>
      </div>
      {adding.error && <Refusal>{messageOf(adding.error)}</Refusal>}
    </form>
  )
}

/** Shown once: the node keeps only a hash of the secret. */
function InvitationLink({ invited: { user, invitation } }: { invited: Invited }) {
  const [isCopied, setCopied] = useState(false)
  if (!invitation) return null
  const link = `${window.location.origin}/dashboard#invitation=${invitation.secret}`
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(link)
    setCopied(true)
  }
  return (
    <div className="note form" role="status">
      <span>
        Hand this link to <b>{visible(user.name)}</b>. It sets the password, works once, and ends{' '}
        <Ago at={invitation.ends_at_ms} />. It is shown only now.
      </span>
      <code className="wrap">{link}</code>
      <div>
        <Button variant="default" size="compact-sm" onClick={() => void copy().catch(() => setCopied(false))}>
          {isCopied ? 'Copied' : 'Copy'}
        </Button>
      </div>
    </div>
  )
}

function RoleButton({ user, onDone }: { user: User; onDone: () => void }) {
  const [role, setRole] = useState<string>(user.role)
  return (
    <ConfirmButton
      text={user.role}
      title={`Role of ${visible(user.name)}`}
      confirm="Change"
      act={() => send('PUT', `${userPath(user.name)}/role`, { role })}
      onDone={onDone}
    >
      <NativeSelect
        label="Role"
        data={ROLES}
        value={role}
        onChange={(event) => setRole(event.currentTarget.value)}
        mb={8}
      />
      The sessions for the role before end.
    </ConfirmButton>
  )
}
