import { DeployError, type ErrorCode } from '../../base/errors.ts'

/**
 * Why a bundle or a folder is refused.
 * @param reason a short name of the kind of fault, under which programs find it in `details`
 * @param entry path inside the bundle or folder; undefined: the bundle as a whole
 * @param sentence what is wrong, and the remedy
 */
export function bundleError(
  code: Extract<ErrorCode, `P2P_BUNDLE_${string}`>,
  reason: string,
  entry: string | undefined,
  sentence: string,
  options?: { cause?: unknown },
): DeployError {
  const details = entry === undefined ? { reason } : { reason, entry: shown(entry) }
  const subject = entry === undefined ? 'The bundle' : shown(entry)
  return new DeployError(code, `${subject} ${printable(sentence)}`, details, options)
}

const SHOWN_CHARACTERS_MAX = 300

/** A name that somebody else chose, safe to print: quoted, escaped, cut. */
export function shown(name: string): string {
  const text = printable(JSON.stringify(name))
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…"` : text
}

/** Control and invisible characters escaped: nothing in it moves a cursor or hides a part. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
  })
}
