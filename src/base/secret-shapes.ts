/** Stands where a secret stood. */
export const REDACTED = '[redacted]'

/** Secrets known by their shape, wherever they stand in a text, and what is put in their place. */
const SECRET_SHAPES: readonly (readonly [RegExp, string])[] = [
  [/(?<=[a-z]:\/\/[^\s/:@]{0,128}:)[^\s/@]+(?=@)/gi, REDACTED], // the password of a URL
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, REDACTED],
  [/\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+/g, REDACTED], // a JSON Web Token
  [/\b(P2P1-\w+)-[\w-]+/g, `$1-${REDACTED}`], // a join token; its first part is public
  [/\bP2PO1-[\w-]+/g, REDACTED], // an operator credential
  [/\bP2PR1-[\w-]+\.[\w-]+/g, REDACTED], // a refresh token
  [/\bP2PR(?:-[A-Z\d]{4}){4,}/g, REDACTED], // a recovery key
  [/#(login|invitation)=[\w-]+/g, `#$1=${REDACTED}`], // links that let somebody in once
]

/** The text without the secrets that can be told by their shape: of ours all, of others' the common ones. */
export function withoutSecrets(text: string): string {
  return SECRET_SHAPES.reduce((rest, [shape, replacement]) => rest.replace(shape, replacement), text)
}
