/**
 * What a {@link CallLink} speaks over: ordered whole messages to the other end. A channel to another node is one, the socket
 * to a service's process another. Messages sent in one tick leave in one write.
 */
export interface LinkChannel {
  /** For messages to people: `node worker-1`, `service inventory#2`. */
  readonly label: string
  /** Aborted, with an error as reason, when either side has closed. */
  readonly closed: AbortSignal
  /**
   * Queues one message, which must not be changed afterwards.
   * @throws {TransportError} P2P_TRANSPORT_CHANNEL_CLOSED; P2P_TRANSPORT_OVERLOADED when the other end reads too slowly;
   *   P2P_TRANSPORT_TOO_LARGE
   */
  send(payload: Uint8Array): void
  close(reason?: string): void
}
