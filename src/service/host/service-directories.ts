import { join } from 'node:path'

/** Where a node keeps what belongs to its services. */
export function servicesStateOf(stateDirectory: string): string {
  return join(stateDirectory, 'services')
}

/** A service's own folder: it may write there and nowhere else, and finds there what its earlier versions left. */
export function dataDirectoryOf(stateDirectory: string, service: string): string {
  return join(servicesStateOf(stateDirectory), service, 'data')
}

/** No service has a name that begins with a dot. */
export function translationsOf(stateDirectory: string): string {
  return join(servicesStateOf(stateDirectory), '.translated')
}
