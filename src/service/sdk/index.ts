export { z } from 'zod'
export type { Logger } from '../../base/log.ts'
export type { Principal } from '../../base/identity.ts'
export { BaseService, type ServiceInfo } from './base-service.ts'
export { defineService, type ServiceDefinition, type ServiceOptions } from './define-service.ts'
export {
  method,
  serviceMethod,
  type MethodCall,
  type MethodDecorator,
  type MethodDefinition,
  type MethodOptions,
  type StreamDefinition,
} from './method.ts'
export type { InputOf, OutputOf, Schema } from './schema.ts'
export type { ServiceClient } from './service-client.ts'
export { ServiceError } from './service-error.ts'
export type { ServiceEvent, ServiceEvents, SubscribeOptions } from './service-events.ts'
export type { ServiceMetrics } from './service-metrics.ts'
export type { CallOptions, ServiceProxy } from './service-proxy.ts'
export type { ServiceRuntime, SettingsChange } from './service-runtime.ts'
