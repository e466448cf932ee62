#!/usr/bin/env node
'use strict'
// Plain JavaScript of 2015: an old Node.js must get far enough to say that it is too old.
const fs = require('fs')
const path = require('path')
const url = require('url')

const MAJOR_MIN = 24

if (parseInt(process.versions.node, 10) >= MAJOR_MIN) {
  start()
} else if (broughtNode()) {
  run(broughtNode(), [__filename])
} else {
  console.error(
    'p2p needs Node.js ' +
      MAJOR_MIN +
      ' or later; this is ' +
      process.versions.node +
      '. Get one from https://nodejs.org, or run "npm start" in the clone, which brings its own.',
  )
  process.exitCode = 1
}

/** The newer Node.js that a clone has brought where the system's is too old; undefined where there is none. */
function broughtNode() {
  const modules = path.join(__dirname, '..', 'node_modules')
  const names = fs.existsSync(modules) ? fs.readdirSync(modules) : []
  const name = names.filter((entry) => /^node-(bin-)?(linux|darwin|win)-/.test(entry))[0]
  if (!name) return undefined
  const binary = path.join(modules, name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  return fs.existsSync(binary) ? binary : undefined
}

function start() {
  // Loading the program makes much that lives on; V8 would answer by growing its nursery and keep it at that size for good.
  // The node lets it grow again once it has started (src/context/run-node.ts).
  require('v8').setFlagsFromString('--semi-space-growth-factor=1')
  const upgraded = process.env.P2P_PROGRAM
  // Only for this process: what it starts is not meant.
  delete process.env.P2P_PROGRAM
  const leave = upgraded ? watchOver(upgraded) : undefined
  const built = path.join(upgraded || path.join(__dirname, '..'), 'dist', 'p2p.js')
  const source = path.join(__dirname, 'p2p.ts')
  if (fs.existsSync(built)) {
    import(url.pathToFileURL(built).href).catch(function (error) {
      // Whatever an upgraded program began to do keeps the process no longer.
      if (upgraded) leave(error)
      console.error(error)
      process.exitCode = 1
    })
  } else if (!upgraded && fs.existsSync(source)) {
    // A clone without a build: the sources run as they are, in a process of their own because of the condition.
    run(process.execPath, ['--conditions=source', source])
  } else {
    console.error('p2p is not complete: ' + built + ' is missing. Install the package again.')
    process.exitCode = 1
  }
}

/**
 * A program that an upgrade brought and that ends before it is confirmed, or is not confirmed in time, is left again: this
 * process begins anew with the installed program, which goes back to the one before (src/context/program-control.ts).
 * @returns ends it because of an error
 */
function watchOver(program) {
  const CONFIRM_MS_MAX = 120000
  const INTERRUPTED = 130
  let lastError
  process.on('uncaughtExceptionMonitor', function (error) {
    lastError = error
  })
  process.on('exit', function (code) {
    if (code === 0 || code === INTERRUPTED || !isOnTrial(program)) return
    // Node would print it only after this.
    if (lastError) console.error(lastError)
    beginAnew('it ended with code ' + code + (lastError ? ': ' + lastError.message : '; its log says why'))
  })
  setTimeout(function () {
    if (isOnTrial(program)) beginAnew('it was not ready and well within ' + CONFIRM_MS_MAX / 1000 + ' s')
  }, CONFIRM_MS_MAX).unref()
  return function (error) {
    lastError = error
    process.exit(1)
  }
}

/** Whether the pointer beside the folder of all programs names this one, and as not confirmed. */
function isOnTrial(program) {
  try {
    const pointer = JSON.parse(fs.readFileSync(path.join(program, '..', '..', 'program.json'), 'utf8'))
    return pointer.current.digest === path.basename(program) && !pointer.isConfirmed
  } catch (error) {
    console.error('p2p: whether this program is confirmed cannot be read: ' + error.message)
    return false
  }
}

/** This process, with the same id, begins anew with the installed program. */
function beginAnew(failure) {
  const environment = Object.assign({}, process.env, { P2P_PROGRAM_FAILURE: failure.slice(0, 300) })
  if (process.connected) {
    environment.NODE_CHANNEL_FD = String(process.channel.fd)
    environment.NODE_CHANNEL_SERIALIZATION_MODE = 'json'
  }
  process.execve(process.execPath, [process.execPath].concat(process.execArgv, process.argv.slice(1)), environment)
}

/** Runs the command line in another process, which gets our streams, signals and parent and gives us its exit code. */
function run(node, nodeArgs) {
  const args = nodeArgs.concat(process.argv.slice(2))
  const stdio = ['inherit', 'inherit', 'inherit']
  if (process.send) stdio.push('ipc')
  const child = require('child_process').spawn(node, args, { stdio: stdio })
  // A terminal sends Ctrl-C to the child too; the child counts two at the same moment as one.
  const signals = process.platform === 'win32' ? ['SIGINT', 'SIGBREAK', 'SIGHUP'] : ['SIGINT', 'SIGTERM', 'SIGHUP']
  signals.forEach(function (name) {
    process.on(name, function () {
      child.kill(name)
    })
  })
  if (process.send) {
    child.on('message', function (message) {
      if (process.connected) process.send(message)
    })
    process.on('disconnect', function () {
      if (child.connected) child.disconnect()
    })
  }
  child.on('error', function (error) {
    console.error('p2p could not be started: ' + error.message)
    process.exitCode = 1
  })
  child.on('exit', function (code, signal) {
    if (process.connected) process.disconnect()
    if (!signal) {
      process.exitCode = code
      return
    }
    // Ends as the child did, so that whoever waits sees the signal.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
