/** What a person wants to know of an X.509 certificate. */
export interface CertificateFacts {
  serial: string
  notBeforeMs: number
  notAfterMs: number
}

/** A DER value (X.690 section 8.1): its tag, and what is in it. */
interface Value {
  tag: number
  content: Uint8Array
}

/**
 * Reads serial and validity (RFC 5280 section 4.1) of a PEM certificate, for display: nothing is verified here.
 * @returns undefined for what is none
 */
export function certificateFacts(pem: string): CertificateFacts | undefined {
  try {
    const base64 = pem.replaceAll(/-----[^-]+-----|\s/g, '')
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
    const [certificate] = valuesIn(bytes)
    const [tbs] = valuesIn(certificate?.content)
    // [version], serialNumber, signature, issuer, validity
    const fields = valuesIn(tbs?.content).filter(({ tag }) => tag !== 0xa0)
    const [serial, , , validity] = fields
    const [from, until] = valuesIn(validity?.content)
    if (!serial || !from || !until) return undefined
    return { serial: hex(serial.content), notBeforeMs: timeMs(from), notAfterMs: timeMs(until) }
  } catch {
    return undefined
  }
}

/** @throws {RangeError} a length beyond the end */
function valuesIn(bytes: Uint8Array = new Uint8Array()): Value[] {
  const values: Value[] = []
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number
    let length = bytes[at + 1] as number
    at += 2
    if (length > 0x80) {
      const octets = length - 0x80
      length = bytes.subarray(at, at + octets).reduce((sum, byte) => sum * 256 + byte, 0)
      at += octets
    }
    if (at + length > bytes.length) throw new RangeError('a DER value is longer than what holds it')
    values.push({ tag, content: bytes.subarray(at, at + length) })
    at += length
  }
  return values
}

function hex(bytes: Uint8Array): string {
  return [...bytes]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .replace(/^(00)+(?=.)/, '')
}

/** UTCTime has two digits of the year, GeneralizedTime four (RFC 5280 section 4.1.2.5). */
function timeMs({ tag, content }: Value): number {
  const text = String.fromCharCode(...content)
  const isShort = tag === 0x17
  const year = isShort ? (Number(text.slice(0, 2)) < 50 ? '20' : '19') + text.slice(0, 2) : text.slice(0, 4)
  const [month, day, hour, minute, second] = text.slice(isShort ? 2 : 4).match(/\d\d/g) ?? []
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
