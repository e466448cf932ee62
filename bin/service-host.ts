import { runServiceHost } from '../src/context/service-host.ts'

runServiceHost()
