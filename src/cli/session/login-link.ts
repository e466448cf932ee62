import { callApi } from './api-client.ts'
import { readCredential } from './credential-file.ts'

/**
 * A link that lets a browser into the dashboard once, within ten minutes; whoever has it gets in.
 * @param credentialFile of the coordinator
 * @param url of the coordinator, by default the one in the file
 */
export async function loginLink(credentialFile: string, url?: string): Promise<string> {
  const operator = readCredential(credentialFile)
  const target = { url: url ?? operator.url, caCertificate: operator.ca_certificate, accessToken: undefined }
  const { secret } = (await callApi(target, {
    method: 'POST',
    path: '/auth/link',
    body: { credential: operator.credential },
  })) as { secret: string }
  return `${target.url}/dashboard#login=${secret}`
}
