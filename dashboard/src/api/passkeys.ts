import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/browser'
import { ApiError, request, send } from './http.ts'
import type { Session } from './session.ts'
import { sessionOpenedBy } from './session.ts'

/** Loaded when somebody uses a passkey. */
const webAuthn = () => import('@simplewebauthn/browser')

/** Has the browser make a passkey, and the node keep its public half. @throws {ApiError} */
export async function makePasskey(password: string, label: string): Promise<void> {
  const { options } = await send<{ options: PublicKeyCredentialCreationOptionsJSON }>('POST', '/auth/passkeys/begin', {
    password,
  })
  const { startRegistration } = await webAuthn()
  const passkey = await startRegistration({ optionsJSON: options }).catch(explain)
  await send('POST', '/auth/passkeys', { label: label.trim(), passkey })
}

/** Signs in with whichever passkey of this address the person chooses. @throws {ApiError} */
export async function loginByPasskey(): Promise<Session> {
  const { body } = await request<{ options: PublicKeyCredentialRequestOptionsJSON }>('/auth/passkeys/sign-in', {
    method: 'POST',
    isLogin: true,
  })
  const { startAuthentication } = await webAuthn()
  const passkey = await startAuthentication({ optionsJSON: body.options }).catch(explain)
  return sessionOpenedBy({ passkey })
}

const REASONS: Readonly<Record<string, string>> = {
  NotAllowedError:
    'The browser gave no passkey: it was cancelled, took too long, there is none for this address, or the browser does not trust the certificate of this page.',
  InvalidStateError: 'This device has a passkey for the account already.',
  SecurityError: 'The browser takes no passkeys for this address.',
}

/** Browsers say little on purpose, and nothing that helps. */
function explain(error: unknown): never {
  const name = error instanceof Error ? error.name : ''
  const text = REASONS[name] ?? (error instanceof Error ? error.message : String(error))
  throw new ApiError(0, 'PASSKEY', text)
}
