//! The configuration as it is written: one struct a section, nothing checked but names and types.
//!
//! Invariant: the fields are exactly the keys of `default.toml`; a test compares the two.

use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    pub(crate) server: RawServer,
    pub(crate) access: RawAccess,
    pub(crate) audit: RawAudit,
    pub(crate) tls: RawTls,
    pub(crate) connections: RawConnections,
    pub(crate) timeouts: RawTimeouts,
    pub(crate) messages: RawMessages,
    pub(crate) limits: RawLimits,
    pub(crate) queues: RawQueues,
    pub(crate) devices: RawDevices,
    pub(crate) clients: RawClients,
    pub(crate) http: RawHttp,
    pub(crate) fetch: RawFetch,
    pub(crate) memory: RawMemory,
    pub(crate) ice: RawIce,
    pub(crate) log: RawLog,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawServer {
    pub(crate) listen: String,
    pub(crate) reuse_port: bool,
    pub(crate) metrics_listen: String,
    pub(crate) allow_anonymous: bool,
    pub(crate) allow_plain_text: bool,
    pub(crate) allowed_origins: Vec<String>,
}

/// `[access]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAccess {
    pub(crate) tokens_file: String,
    pub(crate) revoked_file: String,
    pub(crate) token_in_query: bool,
    pub(crate) failures: u64,
    pub(crate) failures_within_ms: u64,
    pub(crate) failure_delay_ms: u64,
    pub(crate) jwt: Vec<RawJwt>,
}

/// `[[access.jwt]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawJwt {
    #[serde(default)]
    pub(crate) issuer: String,
    #[serde(default)]
    pub(crate) audience: RawTexts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keys_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leeway_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roles_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devices_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
}

/// One text, or several.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum RawTexts {
    One(String),
    Several(Vec<String>),
}

impl Default for RawTexts {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// `[audit]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAudit {
    pub(crate) output: String,
    pub(crate) file: String,
    pub(crate) max_bytes: u64,
    pub(crate) keep: u64,
    pub(crate) refusals_per_second: u64,
}

/// `[tls]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTls {
    pub(crate) mode: String,
    pub(crate) cert_file: String,
    pub(crate) key_file: String,
    pub(crate) state_dir: String,
}

/// `[connections]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConnections {
    pub(crate) max: u64,
    pub(crate) per_address: RawAuto,
    pub(crate) pending: u64,
    pub(crate) pending_per_address: RawAuto,
    pub(crate) accept_per_second: u64,
    pub(crate) accept_burst: u64,
    pub(crate) per_address_per_second: RawAuto,
    pub(crate) per_address_burst: u64,
    pub(crate) send_buffer_bytes: u64,
}

/// A number, or the word `auto`. A variable gives the number as text.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a number or \"auto\"")]
pub(crate) enum RawAuto {
    Number(u64),
    Word(String),
}

/// `[timeouts]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTimeouts {
    pub(crate) handshake_ms: u64,
    pub(crate) first_message_ms: u64,
    pub(crate) idle_ms: u64,
    pub(crate) ping_ms: u64,
    pub(crate) write_ms: u64,
    pub(crate) response_ms: u64,
    pub(crate) message_ms: u64,
    pub(crate) drain_ms: u64,
}

/// `[messages]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMessages {
    pub(crate) max_bytes: u64,
    pub(crate) max_depth: u64,
    pub(crate) max_device_info_bytes: u64,
    pub(crate) max_fragments: u64,
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLimits {
    pub(crate) client_messages_per_second: u64,
    pub(crate) client_messages_burst: u64,
    pub(crate) client_bytes_per_second: u64,
    pub(crate) client_bytes_burst: u64,
    pub(crate) client_frames_per_second: u64,
    pub(crate) client_frames_burst: u64,
    pub(crate) device_messages_per_second: u64,
    pub(crate) device_messages_burst: u64,
    pub(crate) device_bytes_per_second: u64,
    pub(crate) device_bytes_burst: u64,
    pub(crate) device_frames_per_second: u64,
    pub(crate) device_frames_burst: u64,
    pub(crate) requests_per_second: u64,
    pub(crate) requests_burst: u64,
    pub(crate) control_frames_per_second: u64,
    pub(crate) control_frames_burst: u64,
    pub(crate) patience_ms: u64,
}

/// `[queues]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawQueues {
    pub(crate) client_frames: u64,
    pub(crate) client_bytes: u64,
    pub(crate) device_frames: u64,
    pub(crate) device_bytes: u64,
    pub(crate) full_wait_ms: u64,
    pub(crate) share_frames: u64,
    pub(crate) share_bytes: u64,
    pub(crate) held_frames: u64,
    pub(crate) held_bytes: u64,
}

/// `[devices]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDevices {
    pub(crate) clients_per_device: u64,
    pub(crate) grace_ms: u64,
    pub(crate) probe_ms: u64,
}

/// `[clients]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawClients {
    pub(crate) wait_ms: u64,
    pub(crate) waiting_per_device: u64,
    pub(crate) waiting: u64,
    pub(crate) grace_ms: u64,
    pub(crate) resume_key: Secret,
    pub(crate) resume_key_file: String,
    pub(crate) resume_kept_frames: u64,
    pub(crate) resume_kept_bytes: u64,
    pub(crate) resume_token_ms: u64,
    pub(crate) resume_after_restart_ms: u64,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHttp {
    pub(crate) max_header_bytes: u64,
    pub(crate) max_headers: u64,
    pub(crate) event_streams: u64,
    pub(crate) event_buffer: u64,
}

/// `[fetch]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFetch {
    pub(crate) timeout_ms: u64,
    pub(crate) max_bytes: u64,
    pub(crate) allow_private: bool,
    pub(crate) ca_file: String,
}

/// `[memory]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMemory {
    pub(crate) limit_bytes: RawAuto,
    pub(crate) refuse_percent: u64,
    pub(crate) let_go_percent: u64,
    pub(crate) queues_percent: u64,
    pub(crate) assembling_percent: u64,
}

/// `[ice]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIce {
    pub(crate) servers: Vec<RawIceServer>,
    pub(crate) providers: Vec<RawIceProvider>,
    pub(crate) ttl_ms: u64,
    pub(crate) privacy: String,
    pub(crate) regions: Vec<RawIceRegion>,
    pub(crate) default_region: String,
}

/// `[[ice.servers]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIceServer {
    #[serde(default)]
    pub(crate) urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential_file: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secrets_file: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tenants: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) regions: Vec<String>,
}

/// `[[ice.providers]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIceProvider {
    #[serde(default)]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tenants: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) regions: Vec<String>,
}

/// `[[ice.regions]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIceRegion {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) networks: Vec<String>,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLog {
    pub(crate) format: String,
    pub(crate) level: String,
}
