import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { loadConfig, type NodeConfig } from '../../../src/config/index.ts'
import { redactedConfig } from '../../../src/context/redacted-config.ts'

const home = resolve('/srv/p2p')
const SECRETS = { P2P_WEBHOOK_SECRET: 'hook-secret', P2P_SMTP_PASSWORD: 'mail-secret' }

function load(alerts: string): NodeConfig {
  const text = `coordinator_mode: true\nalerts: ${alerts}\n`
  return loadConfig({ file: 'config/node.yaml', text, workingDirectory: home, environment: SECRETS })
}

test('targets of alerts, with their secrets from the environment', () => {
  const { alerts } = load(
    '{webhooks: ["https://a.example/x"], email: {host: mail.example, from: a@b.c, to: [d@e.f], user: u}, script: scripts/on-alert}',
  )
  assert.deepEqual(alerts, {
    webhooks: [{ url: 'https://a.example/x', secret: 'hook-secret' }],
    email: {
      host: 'mail.example',
      port: 587,
      security: 'starttls',
      from: 'a@b.c',
      to: ['d@e.f'],
      user: 'u',
      password: 'mail-secret',
    },
    script: resolve(home, 'scripts/on-alert'),
  })
  assert.equal(load('{email: {host: m, security: tls, from: a@b.c, to: [d@e.f]}}').alerts.email?.port, 465)
  assert.deepEqual(
    load('{webhooks: ["http://127.0.0.1:9/x", "http://[::1]/", "http://localhost/"]}').alerts.webhooks.length,
    3,
  )
})

test('what would leak, steer a mail, or make no sense is refused, without being shown', () => {
  for (const alerts of [
    '{webhooks: ["http://a.example/secret-path"]}',
    '{webhooks: ["https://user:secret-path@a.example/"]}',
    '{webhooks: ["file:///secret-path"]}',
    '{webhooks: [nonsense-secret-path]}',
    '{email: {host: m, from: "secret-path\\r\\nBcc: x@y.z", to: [d@e.f]}}',
    '{email: {host: m, from: a@b.c, to: []}}',
    '{email: {host: mail.example, security: none, user: secret-path, from: a@b.c, to: [d@e.f]}}',
    '{email: {host: m, from: a@b.c, to: [d@e.f], password: secret-path}}',
    '{script: ""}',
    '{pager: secret-path}',
  ]) {
    assert.throws(
      () => load(alerts),
      (error: Error) => {
        assert.match(error.message, /alerts: expected a map of `webhooks`/)
        assert.doesNotMatch(error.message, /secret-path/)
        return true
      },
      alerts,
    )
  }
})

test('what others may see of the configuration has no secret of the alerts', () => {
  const shown = JSON.stringify(
    redactedConfig(
      load('{webhooks: ["https://a.example/secret-path"], email: {host: m, from: a@b.c, to: [d@e.f], user: u}}'),
    ),
  )
  assert.doesNotMatch(shown, /secret/)
  assert.match(shown, /https:\/\/a\.example"/)
})
