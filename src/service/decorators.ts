/*
 * For unit tests of services: `node --import p2p-core/decorators --test`. A node translates the services it runs; in a
 * test nobody does, and no engine runs decorators yet. Files of packages are left alone.
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { hasDecorator, translate } from './translate.ts'

registerHooks({
  load(url, context, next) {
    const isOwnSource = url.startsWith('file:') && !url.includes('/node_modules/') && /\.m?[jt]s$/.test(url)
    if (!isOwnSource) return next(url, context)
    const path = fileURLToPath(url)
    const source = readFileSync(path, 'utf8')
    if (!hasDecorator(source)) return next(url, context)
    return { format: 'module', source: translate(source, path), shortCircuit: true }
  },
})
