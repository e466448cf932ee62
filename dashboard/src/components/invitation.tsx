import { Button } from '@mantine/core'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { messageOf } from '../api/http.ts'
import { readInvitation, type Session, takeInvitation } from '../api/session.ts'
import { Empty, Refusal } from './empty.tsx'
import { NewPassword } from './new-password.tsx'

/** Where an invitation link leads: who was invited sets a password and is in. */
export function Invitation(props: { secret: string; onSession: (session: Session) => void; onLogin: () => void }) {
  const { secret, onSession, onLogin } = props
  const [password, setPassword] = useState('')
  const invited = useQuery({ queryKey: ['invitation'], queryFn: () => readInvitation(secret) })
  const taking = useMutation({ mutationFn: () => takeInvitation(secret, password), onSuccess: onSession })
  if (invited.isPending) return <div aria-busy="true" />
  if (invited.error) {
    return (
      <main className="login">
        <Empty title="This invitation does not work">
          <p>{messageOf(invited.error)}</p>
          <Button mt={12} onClick={onLogin}>
            To the login
          </Button>
        </Empty>
      </main>
    )
  }
  const { name, role } = invited.data
  return (
    <main className="login">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          taking.mutate()
        }}
      >
        <div>
          <h1>Welcome, {name}</h1>
          <p className="muted">You were invited as {role}. Set a password, and you are in.</p>
        </div>
        {taking.error && <Refusal>{messageOf(taking.error)}</Refusal>}
        <input type="text" autoComplete="username" value={name} readOnly hidden />
        <NewPassword label="Password" size="sm" value={password} onChange={setPassword} autoFocus />
        <Button type="submit" size="sm" fullWidth loading={taking.isPending} disabled={password === ''}>
          Set the password
        </Button>
      </form>
    </main>
  )
}
