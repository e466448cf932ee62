/** FNV-1a, 32 bits: an order that is the same everywhere and favours no node, where nothing else decides. */
export function tieBreak(service: string, nodeId: string): number {
  let hash = 0x811c9dc5
  const text = `${service}/${nodeId}`
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
