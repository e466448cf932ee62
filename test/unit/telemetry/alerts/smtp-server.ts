import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { TLSSocket } from 'node:tls'

/** What `answerTo` gives to say nothing at all. */
export const SILENCE = 'silence'

export interface Mail {
  from: string
  to: string[]
  text: string
  /** What AUTH said, decoded. */
  auth?: string
}

export interface SmtpTls {
  /** `tls` from the first byte, or after STARTTLS (RFC 3207). */
  mode: 'tls' | 'starttls'
  key: string
  cert: string
}

/** A mail server that speaks as much of SMTP (RFC 5321) as a client needs. @param answerTo may answer a command otherwise */
export async function smtpServer(
  t: TestContext,
  answerTo: (command: string) => string | undefined = () => undefined,
  tls?: SmtpTls,
) {
  const mails: Mail[] = []
  const commands: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((accepted) => {
    sockets.add(accepted)
    accepted.once('close', () => sockets.delete(accepted)).on('error', () => {})
    let socket = tls?.mode === 'tls' ? encrypted(accepted, tls) : accepted
    let mail: Mail = { from: '', to: [], text: '' }
    let isData = false
    let rest = ''
    const say = (line: string): void => void socket.write(`${line}\r\n`)
    const onCommand = (line: string): void => {
      commands.push(socket === accepted ? line : `TLS ${line}`)
      const other = answerTo(line)
      if (other === SILENCE) return
      if (other !== undefined) return say(other)
      const verb = line.slice(0, 4).toUpperCase()
      if (verb === 'EHLO' && socket === accepted && tls) socket.write('250-test\r\n250 STARTTLS\r\n')
      else if (verb === 'EHLO') socket.write('250-test\r\n250 AUTH PLAIN\r\n')
      else if (verb === 'AUTH') {
        mail.auth = Buffer.from(line.split(' ')[2] ?? '', 'base64').toString()
        say('235 welcome')
      } else if (verb === 'MAIL') {
        mail.from = line
        say('250 ok')
      } else if (verb === 'RCPT') {
        mail.to.push(/<(.*)>/.exec(line)?.[1] ?? '')
        say('250 ok')
      } else if (verb === 'DATA') {
        isData = true
        say('354 go on')
      } else if (verb === 'STAR' && tls?.mode === 'starttls') {
        say('220 go on')
        socket = encrypted(accepted, tls)
        socket.on('data', onData)
      } else if (verb === 'STAR') say('502 no TLS here')
      else if (verb === 'QUIT') socket.end('221 bye\r\n')
      else say('250 ok')
    }
    const onData = (chunk: Buffer): void => {
      rest += chunk.toString()
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end)
        rest = rest.slice(end + 2)
        if (!isData) onCommand(line)
        else if (line !== '.') mail.text += `${line}\n`
        else {
          isData = false
          mails.push(mail)
          mail = { from: '', to: [], text: '' }
          say('250 taken')
        }
      }
    }
    socket.on('data', onData)
    const greeting = answerTo('greeting')
    if (greeting !== SILENCE) say(greeting ?? '220 test ESMTP')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, mails, commands }
}

/** Whoever does not trust the certificate ends it, which is no failure of the server. */
function encrypted(socket: Socket, { key, cert }: SmtpTls): Socket {
  socket.removeAllListeners('data')
  return new TLSSocket(socket, { isServer: true, key, cert }).on('error', () => {})
}
