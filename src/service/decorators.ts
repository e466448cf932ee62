/*
 * For unit tests of services: `node --import p2p-core/decorators --test`. A node translates the services it runs; in a
 * test nobody does, and no engine runs decorators yet. Files of packages are left alone.
 */
import { registerHooks } from 'node:module'
import { translatedSource } from './definition/translate.ts'

registerHooks({
  load(url, context, next) {
    const isOwn = url.startsWith('file:') && !url.includes('/node_modules/')
    const source = isOwn ? translatedSource(url) : undefined
    return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true }
  },
})
