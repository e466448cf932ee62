import { runCli, systemHost } from '../src/cli/index.ts'

process.exitCode = await runCli(systemHost())
