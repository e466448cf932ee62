import { Button, PasswordInput } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { messageOf } from '../api/http.ts'
import { loginByCredential, type Session } from '../api/session.ts'
import { Refusal } from './empty.tsx'

/** The way in where no link was given, or the link was refused. */
export function Login({ refusal, onSession }: { refusal: string | undefined; onSession: (session: Session) => void }) {
  const [pasted, setPasted] = useState('')
  const login = useMutation({ mutationFn: loginByCredential, onSuccess: onSession })
  const problem = login.error ? messageOf(login.error) : refusal
  return (
    <main className="login">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          login.mutate(pasted)
        }}
      >
        <div>
          <h1>P2P Core</h1>
          <p className="muted">
            Run <code>p2p login --link</code> on the coordinator and open the link it prints, or paste the operator
            credential from its <code>operator.json</code>.
          </p>
        </div>
        {problem !== undefined && <Refusal>{problem}</Refusal>}
        <input type="text" autoComplete="username" value="operator" readOnly hidden />
        <PasswordInput
          size="sm"
          label="Operator credential"
          value={pasted}
          onChange={(event) => setPasted(event.currentTarget.value)}
          autoComplete="current-password"
          autoFocus
          required
          withAsterisk={false}
          visibilityToggleButtonProps={{ 'aria-label': 'Show the credential', tabIndex: 0 }}
        />
        <Button type="submit" loading={login.isPending} size="sm" disabled={pasted.trim() === ''} fullWidth>
          Log in
        </Button>
      </form>
    </main>
  )
}
