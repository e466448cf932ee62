/** The two files of the Python program's README, as written there. */
export const README_COORDINATOR = `node_id: "coordinator-1"
port: 8001
bind_address: "0.0.0.0"
coordinator_mode: true

# SSL/TLS
https_enabled: true
ssl_cert_file: "certs/coordinator_cert.cer"
ssl_key_file: "certs/coordinator_key.key"
ssl_ca_cert_file: "certs/ca_cert.cer"
ssl_ca_key_file: "certs/ca_key.key"

# Gossip protocol
gossip_interval_min: 5
gossip_interval_max: 30
gossip_compression_enabled: true

# Rate limiting
rate_limit_enabled: true
rate_limit_rpc_requests: 100
rate_limit_rpc_burst: 20

# Storage
state_directory: "data/coordinator"
`

export const README_WORKER = `node_id: "worker-1"
port: 8002
bind_address: "0.0.0.0"
coordinator_mode: false

# Coordinator addresses
coordinator_addresses:
  - "192.168.1.100:8001"

# SSL/TLS
https_enabled: true
ssl_cert_file: "certs/worker_cert.cer"
ssl_key_file: "certs/worker_key.key"
ssl_ca_cert_file: "certs/ca_cert.cer"

# Storage
state_directory: "data/worker"
`
