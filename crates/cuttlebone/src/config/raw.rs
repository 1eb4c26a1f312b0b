//! The configuration as it is written: one struct a section, nothing checked but names and types.
//!
//! Invariant: the fields are exactly the keys of `default.toml`; a test compares the two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret::{Address, Secret};

/// The whole configuration.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    pub(crate) server: RawServer,
    pub(crate) proxy: RawProxy,
    pub(crate) access: RawAccess,
    pub(crate) oidc: RawOidc,
    pub(crate) hook: RawHook,
    pub(crate) audit: RawAudit,
    pub(crate) tls: RawTls,
    pub(crate) acme: RawAcme,
    pub(crate) connections: RawConnections,
    pub(crate) timeouts: RawTimeouts,
    pub(crate) messages: RawMessages,
    pub(crate) limits: RawLimits,
    pub(crate) quotas: RawQuotas,
    pub(crate) leases: RawLeases,
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
    pub(crate) listen_unix: String,
    pub(crate) listen_unix_mode: String,
    pub(crate) listen_unix_group: String,
    pub(crate) reuse_port: bool,
    pub(crate) metrics_listen: String,
    pub(crate) allow_anonymous: bool,
    pub(crate) allow_plain_text: bool,
    pub(crate) allowed_origins: Vec<String>,
}

/// `[proxy]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProxy {
    pub(crate) trusted: Vec<String>,
    pub(crate) header: String,
    pub(crate) protocol: String,
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
    pub(crate) remembered_addresses: u64,
    pub(crate) verified_tokens: u64,
    pub(crate) jwks_refresh_ms: u64,
    pub(crate) jwks_stale_ms: u64,
    pub(crate) jwks_min_refetch_ms: u64,
    pub(crate) user: Vec<RawUser>,
    pub(crate) jwt: Vec<RawJwt>,
    pub(crate) certificate: Vec<RawCertificate>,
}

/// `[[access.certificate]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCertificate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) common_name: Option<String>,
    #[serde(default)]
    pub(crate) roles: RawTexts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devices: Option<RawTexts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
}

/// `[[access.user]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUser {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<RawAccount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<RawAccount>,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devices: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
}

/// A user or a group: its number, or its name.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a number or a name")]
pub(crate) enum RawAccount {
    Number(u32),
    Name(String),
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
    pub(crate) jwks_url: Option<Address>,
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
    pub(crate) roles: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devices: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devices_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant_claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
}

/// `[oidc]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOidc {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    pub(crate) client_secret_file: String,
    pub(crate) public_url: String,
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) roles_claim: String,
    pub(crate) devices_claim: String,
    pub(crate) devices: Vec<String>,
    pub(crate) tenant_claim: String,
    pub(crate) tenant: String,
    pub(crate) session_ms: u64,
    pub(crate) session_key: Secret,
    pub(crate) session_key_file: String,
    pub(crate) attempt_ms: u64,
    pub(crate) metadata_ms: u64,
    pub(crate) exchanges: u64,
    pub(crate) roles: BTreeMap<String, String>,
}

/// `[hook]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHook {
    pub(crate) url: Address,
    pub(crate) prefix: String,
    pub(crate) timeout_ms: u64,
    pub(crate) cache_ms: u64,
    pub(crate) denied_cache_ms: u64,
    pub(crate) recheck_ms: u64,
    pub(crate) stale_ms: u64,
    pub(crate) concurrent: u64,
    pub(crate) waiting: u64,
    pub(crate) kept: u64,
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
    pub(crate) client_auth: String,
    pub(crate) client_ca_file: String,
    pub(crate) client_crl_file: String,
    pub(crate) redirect_listen: String,
    pub(crate) hsts_max_age_s: RawAuto,
}

/// `[acme]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAcme {
    pub(crate) domains: Vec<String>,
    pub(crate) contact: Vec<String>,
    pub(crate) accept_terms: bool,
    pub(crate) directory_url: Address,
    pub(crate) challenge: String,
    pub(crate) ca_file: String,
    pub(crate) renew_before_days: u64,
    pub(crate) external_account_kid: String,
    pub(crate) external_account_hmac_file: String,
    pub(crate) retry_ms: u64,
    pub(crate) retry_max_ms: u64,
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
    pub(crate) receive_buffer_bytes: u64,
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

/// `[quotas]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawQuotas {
    pub(crate) clients_per_principal: u64,
    pub(crate) devices_per_principal: u64,
    pub(crate) registrations_per_minute: u64,
    pub(crate) registrations_burst: u64,
    pub(crate) failed_connects: u64,
    pub(crate) failed_connects_within_ms: u64,
}

/// `[leases]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLeases {
    pub(crate) default_ms: u64,
    pub(crate) max_ms: u64,
    pub(crate) per_principal: u64,
    pub(crate) most: u64,
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
    pub(crate) id_charset: String,
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
    pub(crate) device_info_percent: u64,
    pub(crate) assembling_percent: u64,
    pub(crate) lists_percent: u64,
    pub(crate) leases_percent: u64,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenants: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) regions: Option<Vec<String>>,
}

/// `[[ice.providers]]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIceProvider {
    #[serde(default)]
    pub(crate) url: Address,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenants: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) regions: Option<Vec<String>>,
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
