import { styleText } from 'node:util'
import type { Output } from '../host.ts'

export type Format = Parameters<typeof styleText>[0]

/** Colours a text where somebody can see them: on a terminal, unless NO_COLOR (no-color.org) or TERM=dumb says not to. */
export function styler(
  output: Output,
  environment: Readonly<Record<string, string | undefined>>,
): (format: Format, text: string) => string {
  const isColored = output.isTTY === true && !environment.NO_COLOR && environment.TERM !== 'dumb'
  return (format, text) => (isColored ? styleText(format, text, { validateStream: false }) : text)
}

/** Text of others on one line without control characters: a node's name must not steer the reader's terminal. */
export function plain(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\p{Cc}\p{Bidi_Control}]/gu, '\uFFFD')
}
