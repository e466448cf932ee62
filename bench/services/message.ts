/** About 200 bytes of JSON: parameters, and the result. */
export const MESSAGE = {
  host: 'edge-17.example',
  tags: ['rack-4', 'ssd', 'eu-west'],
  text: 'x'.repeat(120),
  count: 12_345,
}

/** What a measuring process is asked. */
export interface Load {
  way: string
  inFlight: number
  seconds: number
}
