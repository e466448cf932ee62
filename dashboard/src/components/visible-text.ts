/** Characters that would hide, reorder or break what is shown: controls, and those that turn the direction of text. */
const HIDING = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu

/** Foreign text on one line, with each such character as a visible escape. Markup is harmless: it is only ever a text node. */
export function visible(text: string): string {
  return text.replace(HIDING, (character) => {
    const code = character.codePointAt(0) ?? 0
    if (code < 0x20) return String.fromCodePoint(0x2400 + code)
    return `\\u${code.toString(16).padStart(4, '0')}`
  })
}
