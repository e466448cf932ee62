import { Button, PasswordInput, TextInput } from '@mantine/core'
import { useMutation, useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { ApiError, messageOf } from '../api/http.ts'
import { loginByPasskey } from '../api/passkeys.ts'
import { loginByCredential, loginByName, readSignInMethods, type Session } from '../api/session.ts'
import { Refusal } from './empty.tsx'

interface LoginProps {
  refusal: string | undefined
  onSession: (session: Session) => void
}

/** The way in where no link was given, or the link was refused. */
export function Login(props: LoginProps) {
  const [isByCredential, setByCredential] = useState(false)
  const onOther = (): void => setByCredential(!isByCredential)
  return (
    <main className="login">
      {isByCredential ? <ByCredential {...props} onOther={onOther} /> : <ByName {...props} onOther={onOther} />}
    </main>
  )
}

function ByName({ refusal, onSession, onOther }: LoginProps & { onOther: () => void }) {
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const [isCodeAsked, setCodeAsked] = useState(false)
  const login = useMutation({
    mutationFn: () => loginByName({ name, password, ...(isCodeAsked && { code }) }),
    onSuccess: onSession,
    onError: (error) => {
      if (error instanceof ApiError && error.code === 'P2P_AUTH_CODE_REQUIRED') setCodeAsked(true)
    },
  })
  const methods = useQuery({ queryKey: ['methods'], queryFn: readSignInMethods, staleTime: Infinity })
  const byPasskey = useMutation({ mutationFn: loginByPasskey, onSuccess: onSession, onMutate: () => login.reset() })
  const isPasskeyOffered = !isCodeAsked && methods.data?.passkey === true && 'PublicKeyCredential' in window
  const oidc = isCodeAsked ? undefined : methods.data?.oidc
  const isAsking = login.error instanceof ApiError && login.error.code === 'P2P_AUTH_CODE_REQUIRED'
  const error = byPasskey.error ?? (isAsking ? null : login.error)
  const problem = error ? messageOf(error) : isAsking ? undefined : refusal
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    byPasskey.reset()
    login.mutate()
  }
  const back = (): void => {
    login.reset()
    setCodeAsked(false)
    setCode('')
  }
  return (
    <form onSubmit={submit}>
      <div>
        <h1>P2P Core</h1>
        <p className="muted">{isCodeAsked ? `One more step for ${name}.` : 'Log in to your cluster.'}</p>
      </div>
      {problem !== undefined && <Refusal>{problem}</Refusal>}
      {isCodeAsked ? (
        <TextInput
          key="code"
          size="sm"
          label="Code"
          description="From your authenticator, or a recovery code"
          value={code}
          onChange={(event) => setCode(event.currentTarget.value)}
          autoComplete="one-time-code"
          autoCapitalize="none"
          spellCheck={false}
          autoFocus
          required
          withAsterisk={false}
        />
      ) : (
        <>
          <TextInput
            size="sm"
            label="Name"
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            autoFocus
            required
            withAsterisk={false}
          />
          <PasswordInput
            size="sm"
            label="Password"
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            autoComplete="current-password"
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ 'aria-label': 'Show the password', tabIndex: 0 }}
          />
        </>
      )}
      <Button
        type="submit"
        size="sm"
        fullWidth
        loading={login.isPending}
        disabled={isCodeAsked ? code.trim() === '' : name.trim() === '' || password === ''}
      >
        Log in
      </Button>
      {isPasskeyOffered && (
        <Button variant="default" size="sm" fullWidth loading={byPasskey.isPending} onClick={() => byPasskey.mutate()}>
          Use a passkey
        </Button>
      )}
      {oidc && (
        <Button component="a" href="/auth/oidc/start" variant="default" size="sm" fullWidth>
          Log in with {hostOf(oidc.issuer)}
        </Button>
      )}
      <p className="login-other small">
        <button type="button" className="link-button" onClick={isCodeAsked ? back : onOther}>
          {isCodeAsked ? 'Back' : 'Use the operator credential'}
        </button>
      </p>
    </form>
  )
}

function hostOf(issuer: string): string {
  return URL.parse(issuer)?.host ?? 'your provider'
}

function ByCredential({ refusal, onSession, onOther }: LoginProps & { onOther: () => void }) {
  const [pasted, setPasted] = useState('')
  const login = useMutation({ mutationFn: loginByCredential, onSuccess: onSession })
  const problem = login.error ? messageOf(login.error) : refusal
  return (
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
      <p className="login-other small">
        <button type="button" className="link-button" onClick={onOther}>
          Use name and password
        </button>
      </p>
    </form>
  )
}
