/** Version of the program; a test holds it equal to package.json's. */
export const VERSION = '3.0.0'

/** Version of the wire protocols between nodes: a node talks to its own and the one before. */
export const PROTOCOL_VERSION = 1
