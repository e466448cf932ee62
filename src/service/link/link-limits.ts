/**
 * Calls that wait for their answers over one link, and calls being answered over it: each at most this many. As many as a node
 * runs, so that one of its peers, which has half of those at most, cannot use up the link to a service's process.
 */
export const CALLS_PER_LINK_MAX = 16_384

/** A longer batch is dropped: an end writes at most 8 KiB and one message of 16 KiB, and what is in a batch is done in one go. */
export const BATCH_BYTES_MAX = 64 * 1024

/** Streams of one link, in each direction. */
export const STREAMS_PER_LINK_MAX = 256

/** What one item of a stream may have: it travels as one message, and other calls wait behind it. */
export const STREAM_ITEM_BYTES_MAX = 1024 * 1024

/** What an item counts for beside its own bytes, so that empty ones are bounded too. */
export const ITEM_COST_BYTES = 64

/** Credit with which every stream begins, known to both ends. */
export const STREAM_CREDIT_BYTES = 64 * 1024

/** Most that the reader of one stream lets come in unread; a link's streams share {@link LINK_CREDIT_BYTES_MAX} for what is beyond the first credit. */
export const STREAM_CREDIT_BYTES_MAX = 4 * 1024 * 1024
export const LINK_CREDIT_BYTES_MAX = 32 * 1024 * 1024

/**
 * Items of all streams under way on one link, not yet confirmed by the other end: less than what a channel queues, so that
 * streams can never fill it and calls always find room. 4 MiB fill 1 Gbit/s at 32 ms.
 */
export const LINK_WINDOW_BYTES = 4 * 1024 * 1024

/** The reader confirms what came in steps of this. */
export const CONFIRM_BYTES = 256 * 1024
