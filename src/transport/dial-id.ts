/** Names one request for a channel: the run of the dialling node and a number that grows with each of its requests. */
export interface DialId {
  /** 16 hex digits, drawn at every start of the node. */
  instance: string
  count: number
}

/** As the value of the `p2p-dial` header: `0123456789abcdef.42`. */
export function formatDialId({ instance, count }: DialId): string {
  return `${instance}.${count}`
}

/** @returns undefined when the header is missing or has another form */
export function parseDialId(header: string | string[] | undefined): DialId | undefined {
  const match = typeof header === 'string' ? /^([0-9a-f]{16})\.(\d{1,15})$/.exec(header) : undefined
  return match ? { instance: match[1] as string, count: Number(match[2]) } : undefined
}

/** Whether `dial` was made after `known`: later in the same run of the node, or in another run, which must be a newer one. */
export function isLaterDial(dial: DialId, known: DialId): boolean {
  return dial.instance !== known.instance || dial.count > known.count
}
