export { ChildHost } from './child-host.ts'
export { HostChannel } from './host-channel.ts'
export { portPipe, readPort } from './port-pipe.ts'
export { readSocket, socketPipe } from './socket-pipe.ts'
