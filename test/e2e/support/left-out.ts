/** Whether the test run already named this part of its needs as not available here. */
export function isLeftOut(part: string): boolean {
  return (process.env['P2P_TEST_LEFT_OUT'] ?? '').split(',').includes(part)
}
