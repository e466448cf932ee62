/** Version of the program; a test holds it equal to package.json's. */
export const VERSION = '3.0.0'
