/*
 * A process that runs services until it is killed. Arguments: the state directory. Input: the files of the services
 * directory as JSON. It writes a line of JSON with the state of its instances at each change.
 */
import { text } from 'node:stream/consumers'
import { startServices, type Tree } from './service-node.ts'

const node = await startServices({ after: () => {} }, JSON.parse(await text(process.stdin)) as Tree, {
  state: process.argv[2] as string,
})
const tell = (): void => void process.stdout.write(`${JSON.stringify(node.manager.host.states())}\n`)
node.manager.host.onChange(tell)
tell()
