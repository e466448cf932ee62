export { type AuditNeeds, type AuditOptions, createAuditTrail } from './audit-trail.ts'
