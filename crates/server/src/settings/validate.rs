//! Which settings can't be served, and why.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use cuttlebone_transport::Rate;
use cuttlebone_transport::tls::TlsSettings;
use http::Uri;
use http::uri::Authority;

use super::{AcmeChallenge, HttpsSettings, Settings};
use crate::fetch::{FetchSettings, Fetcher};

/// The longest time that any key may name: a day. A larger one is a slip of the unit.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// An answer that is held back holds its socket.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Each is looked at for each connection.
const MOST_NETWORKS: usize = 64;

/// That of a unix socket, in bytes.
const LONGEST_PATH: usize = 107;
/// What a browser can't be made to forget before: ten years are a slip of the unit.
const LONGEST_HSTS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Names of one certificate: what public authorities allow.
const MOST_DOMAINS: usize = 100;

/// What the program itself needs, about.
const LEAST_MEMORY: u64 = 16 << 20;

/// The largest rate that is not simply none.
const MOST_A_SECOND: u32 = 1 << 30;

/// The most registrations of one id in a minute: to have more is to have no bound.
const MOST_A_MINUTE: u32 = 1_000_000;

/// A shorter lease would be over before its holder has connected.
pub(crate) const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// One setting that can't be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key in the config file.
    pub key: &'static str,
    /// What it has to be.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

impl Settings {
    /// Looks at everything and says all that is wrong.
    ///
    /// # Errors
    /// Every fault found, at least one.
    pub fn validate(&self) -> Result<(), Vec<Fault>> {
        let mut faults = Faults::default();
        self.check_listen(&mut faults);
        self.check_proxy(&mut faults);
        self.check_https(&mut faults);
        self.check_acme(&mut faults);
        self.check_connections(&mut faults);
        self.check_timeouts(&mut faults);
        self.check_messages(&mut faults);
        self.check_limits(&mut faults);
        self.check_quotas(&mut faults);
        self.check_leases(&mut faults);
        self.check_queues(&mut faults);
        self.check_hub(&mut faults);
        self.check_memory(&mut faults);
        self.check_http(&mut faults);
        self.check_access(&mut faults);
        self.check_hook(&mut faults);
        let refusals = self.audit.refusals_per_second;
        faults.within("audit.refusals_per_second", refusals.try_into().unwrap_or(usize::MAX), 0..=1_000);
        self.check_fetch(&mut faults);
        for fault in self.ice_faults() {
            faults.check(false, "ice", || format!("{}: {}", fault.place, fault.text));
        }
        faults.into_result()
    }

    /// What is wrong with `ice`, each with its place in it.
    #[must_use]
    pub fn ice_faults(&self) -> Vec<cuttlebone_ice::Fault> {
        let mut faults = self.ice.faults();
        // That its file can't be read is said elsewhere.
        let Ok(fetcher) = Fetcher::new(&self.fetch) else { return faults };
        for (index, provider) in self.ice.providers.iter().enumerate() {
            let checked = match provider.url.parse::<Uri>() {
                Ok(uri) => fetcher.check(&uri).map_err(|error| error.to_string()),
                Err(_) => Err("expected https://HOST/PATH".into()),
            };
            if let Err(text) = checked {
                faults.push(cuttlebone_ice::Fault { place: format!("providers[{index}].url"), text });
            }
        }
        faults
    }

    fn check_access(&self, faults: &mut Faults) {
        let access = &self.access;
        faults.time("access.failures_within_ms", access.failures_within);
        let is_short = access.failure_delay <= LONGEST_DELAY;
        faults.check(is_short, "access.failure_delay_ms", || format!("must be at most {}", LONGEST_DELAY.as_millis()));
        if let Some(login) = &access.login {
            faults.0.extend(login.faults(self.tls.is_some(), Fetcher::new(&self.fetch).ok().as_ref()));
        }
        faults.within("access.remembered_addresses", access.remembered, 1..=10_000_000);
        let jwks = &access.jwks;
        faults.time("access.jwks_refresh_ms", jwks.refresh);
        faults.time("access.jwks_min_refetch_ms", jwks.min_refetch);
        faults.check(jwks.min_refetch <= jwks.refresh, "access.jwks_min_refetch_ms", || {
            "must be at most access.jwks_refresh_ms".into()
        });
        faults.time("access.jwks_stale_ms", jwks.stale);
        faults.check(jwks.stale > jwks.refresh, "access.jwks_stale_ms", || {
            "must be above access.jwks_refresh_ms: else keys are too old before they are fetched again".into()
        });
    }

    fn check_hook(&self, faults: &mut Faults) {
        let Some(hook) = &self.access.hook else { return };
        // The file of certificates is judged by itself.
        let fetcher = Fetcher::new(&FetchSettings { ca_file: None, ..self.fetch.clone() });
        if let Err(error) = fetcher.and_then(|fetcher| fetcher.check(&hook.url)) {
            faults.check(false, "hook.url", || error.to_string());
        }
        faults.time("hook.timeout_ms", hook.timeout);
        faults.check(hook.timeout <= LONGEST_DELAY, "hook.timeout_ms", || {
            format!("must be at most {}", LONGEST_DELAY.as_millis())
        });
        faults.time_or_none("hook.cache_ms", hook.cache);
        faults.time_or_none("hook.denied_cache_ms", hook.denied_cache);
        faults.time("hook.recheck_ms", hook.recheck);
        faults.time("hook.stale_ms", hook.stale);
        let is_long = hook.stale >= hook.recheck && hook.stale >= hook.cache;
        faults.check(is_long, "hook.stale_ms", || "must be at least hook.recheck_ms and hook.cache_ms".into());
        faults.within("hook.concurrent", hook.asks, 2..=1_000);
        faults.within("hook.waiting", hook.waiting, 1..=100_000);
        faults.within("hook.kept", hook.kept, 2..=10_000_000);
    }

    fn check_fetch(&self, faults: &mut Faults) {
        faults.time("fetch.timeout_ms", self.fetch.timeout);
        faults.check(self.fetch.timeout <= LONGEST_DELAY, "fetch.timeout_ms", || {
            format!("must be at most {}", LONGEST_DELAY.as_millis())
        });
        faults.within("fetch.max_bytes", self.fetch.max_bytes, 1024..=16 << 20);
    }

    fn check_listen(&self, faults: &mut Faults) {
        let taken = self.metrics_listen.is_some_and(|metrics| metrics == self.listen && metrics.port() != 0);
        faults.check(!taken, "server.metrics_listen", || "must differ from server.listen".into());
        if let Some(unix) = &self.listen_unix {
            let length = unix.path.as_os_str().len();
            faults.check((1..=LONGEST_PATH).contains(&length), "server.listen_unix", || {
                format!("must have at most {LONGEST_PATH} bytes, has {length}")
            });
            faults.check(unix.mode <= 0o777, "server.listen_unix_mode", || "must be 0 to 0777, in octal".into());
        }
    }

    fn check_proxy(&self, faults: &mut Faults) {
        faults.within("proxy.trusted", self.proxy.trusted.len(), 0..=MOST_NETWORKS);
        let has_socket = !self.proxy.unix || self.listen_unix.is_some();
        faults.check(has_socket, "proxy.trusted", || "has \"unix\", and there is no server.listen_unix".into());
        let is_of_some = !self.proxy.protocol || self.proxy.is_used();
        faults
            .check(is_of_some, "proxy.protocol", || "is for the addresses of proxy.trusted, and there are none".into());
    }

    fn check_acme(&self, faults: &mut Faults) {
        let Some(acme) = &self.acme else { return };
        faults.within("acme.domains", acme.domains.len(), 1..=MOST_DOMAINS);
        let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        let is_name = |name: &String| name.contains('.') && is_plain(name) && name.parse::<Authority>().is_ok();
        let fault = || "names only, such as signal.example.org; one with a * needs another challenge".into();
        faults.check(acme.domains.iter().all(is_name), "acme.domains", fault);
        let is_url = acme.directory_url.starts_with("https://") && acme.directory_url.parse::<Uri>().is_ok();
        faults.check(is_url, "acme.directory_url", || "must be an https URL".into());
        let has_port = acme.challenge != AcmeChallenge::Http01 || self.https.redirect_listen.is_some();
        faults.check(has_port, "acme.challenge", || "\"http-01\" needs tls.redirect_listen".into());
        faults.time("acme.retry_ms", acme.retry);
        faults.time("acme.retry_max_ms", acme.retry_max);
        let is_kept = self.tls == Some(TlsSettings::Kept { file: acme.certificate_file() });
        faults.check(is_kept, "tls.mode", || "must be \"acme\" to get a certificate".into());
    }

    fn check_https(&self, faults: &mut Faults) {
        let HttpsSettings { redirect_listen, hsts_max_age, ref clients } = self.https;
        let none = clients.is_none() || self.tls.is_some();
        faults.check(none, "tls.client_auth", || "needs TLS".into());
        let key = "tls.redirect_listen";
        if let Some(redirect) = redirect_listen {
            faults.check(self.tls.is_some(), key, || "needs TLS to send to".into());
            let taken = redirect.port() != 0 && (redirect == self.listen || self.metrics_listen == Some(redirect));
            faults.check(!taken, key, || "must differ from server.listen and server.metrics_listen".into());
        }
        let most = LONGEST_HSTS.as_secs();
        faults.check(hsts_max_age <= LONGEST_HSTS, "tls.hsts_max_age_s", || format!("must be at most {most}"));
    }

    fn check_connections(&self, faults: &mut Faults) {
        faults.within("connections.max", self.connections.max, 1..=10_000_000);
        if let Some(per_address) = self.connections.per_address {
            faults.within("connections.per_address", per_address, 1..=10_000_000);
        }
        faults.within("connections.pending", self.connections.pending, 1..=10_000_000);
        if let Some(pending) = self.connections.pending_per_address {
            faults.within("connections.pending_per_address", pending, 1..=10_000_000);
        }
        faults.rate("connections.accept_per_second", "connections.accept_burst", self.connections.rate);
        let per_address = self.connections.rate_per_address;
        faults.rate("connections.per_address_per_second", "connections.per_address_burst", per_address);
        faults.within("connections.send_buffer_bytes", self.connections.send_buffer, 4_096..=16 << 20);
        faults.within("connections.receive_buffer_bytes", self.connections.receive_buffer, 4_096..=16 << 20);
    }

    fn check_timeouts(&self, faults: &mut Faults) {
        let times = &self.timeouts;
        faults.time("timeouts.handshake_ms", times.handshake);
        faults.time("timeouts.first_message_ms", times.first_message);
        faults.time("timeouts.idle_ms", times.idle);
        faults.time("timeouts.ping_ms", times.ping);
        faults.check(times.ping < times.idle, "timeouts.ping_ms", || "must be below timeouts.idle_ms".into());
        faults.time("timeouts.write_ms", times.write);
        faults.time("timeouts.response_ms", times.response);
        faults.time("timeouts.message_ms", times.message);
        faults.time_or_none("timeouts.drain_ms", times.drain);
    }

    fn check_messages(&self, faults: &mut Faults) {
        faults.within("messages.max_bytes", self.messages.limits.message_bytes, 1024..=64 * 1024 * 1024);
        faults.within("messages.max_depth", self.messages.limits.depth, 1..=1000);
        let info = self.messages.limits.device_info_bytes;
        faults.within("messages.max_device_info_bytes", info, 4..=64 * 1024 * 1024);
        faults.within("messages.max_fragments", self.messages.max_fragments, 1..=1_000_000);
    }

    fn check_limits(&self, faults: &mut Faults) {
        let limits = &self.limits;
        let (client, device) = (&limits.client, &limits.device);
        faults.rate("limits.client_messages_per_second", "limits.client_messages_burst", client.messages);
        faults.bytes("limits.client_bytes_per_second", "limits.client_bytes_burst", client.bytes);
        faults.rate("limits.client_frames_per_second", "limits.client_frames_burst", client.frames);
        faults.rate("limits.device_messages_per_second", "limits.device_messages_burst", device.messages);
        faults.bytes("limits.device_bytes_per_second", "limits.device_bytes_burst", device.bytes);
        faults.rate("limits.device_frames_per_second", "limits.device_frames_burst", device.frames);
        faults.rate("limits.requests_per_second", "limits.requests_burst", limits.requests);
        faults.rate("limits.control_frames_per_second", "limits.control_frames_burst", limits.control_frames);
        faults.time_or_none("limits.patience_ms", limits.patience);
    }

    fn check_quotas(&self, faults: &mut Faults) {
        let quotas = &self.quotas;
        faults.within("quotas.clients_per_principal", quotas.clients, 1..=10_000_000);
        faults.within("quotas.devices_per_principal", quotas.devices, 1..=10_000_000);
        let is_slow = quotas.registrations <= MOST_A_MINUTE;
        faults.check(is_slow, "quotas.registrations_per_minute", || format!("must be at most {MOST_A_MINUTE}"));
        let burst = usize::try_from(quotas.registrations_burst).unwrap_or(usize::MAX);
        faults.within("quotas.registrations_burst", burst, 1..=10_000);
        faults.time("quotas.failed_connects_within_ms", quotas.failed_connects_within);
    }

    fn check_leases(&self, faults: &mut Faults) {
        let leases = &self.leases;
        faults.time("leases.max_ms", leases.max);
        let is_lease = (SHORTEST_LEASE..=leases.max).contains(&leases.default);
        let least = SHORTEST_LEASE.as_millis();
        faults.check(is_lease, "leases.default_ms", || format!("must be {least} to leases.max_ms"));
        faults.within("leases.per_principal", self.hub.leases_per_holder, 0..=1_000_000);
        faults.within("leases.most", self.hub.leases, 0..=10_000_000);
    }

    fn check_queues(&self, faults: &mut Faults) {
        let message = self.messages.limits.message_bytes;
        let hub = &self.hub;
        faults.within("queues.client_frames", hub.client_queue.frames, 1..=1_000_000);
        faults.holds_a_message("queues.client_bytes", hub.client_queue.bytes, message);
        faults.within("queues.device_frames", hub.device_queue.frames, 1..=1_000_000);
        faults.holds_a_message("queues.device_bytes", hub.device_queue.bytes, message);
        faults.within("queues.share_frames", hub.client_share.frames, 1..=1_000_000);
        faults.within("queues.share_bytes", hub.client_share.bytes, 1024..=usize::MAX);
        faults.within("queues.held_frames", hub.held.frames, 0..=1_000_000);
        faults.time_or_none("queues.full_wait_ms", hub.full_wait);
    }

    fn check_hub(&self, faults: &mut Faults) {
        let hub = &self.hub;
        faults.within("devices.clients_per_device", hub.clients_per_device, 1..=1_000_000);
        faults.time_or_none("devices.grace_ms", hub.device_grace);
        faults.time("devices.probe_ms", hub.probe);
        faults.time_or_none("clients.wait_ms", hub.client_wait);
        faults.within("clients.waiting_per_device", hub.waiting_per_device, 0..=1_000_000);
        faults.within("clients.waiting", hub.waiting, 0..=10_000_000);
        faults.time_or_none("clients.grace_ms", hub.client_grace);
        faults.within("clients.resume_kept_frames", hub.resume_kept.frames, 0..=1_000_000);
        faults.time("clients.resume_token_ms", hub.resume_ttl);
        faults.time_or_none("clients.resume_after_restart_ms", hub.resume_after_restart);
    }

    fn check_memory(&self, faults: &mut Faults) {
        let memory = &self.memory;
        let is_large = memory.limit.is_none_or(|limit| limit == 0 || limit >= LEAST_MEMORY);
        faults.check(is_large, "memory.limit_bytes", || format!("must be 0, or at least {LEAST_MEMORY}"));
        let (refuse, let_go) = (usize::from(memory.refuse_percent), usize::from(memory.let_go_percent));
        faults.within("memory.refuse_percent", refuse, 1..=100);
        faults.within("memory.let_go_percent", let_go, refuse..=100);
        faults.within("memory.queues_percent", usize::from(memory.queues_percent), 1..=100);
        faults.within("memory.device_info_percent", usize::from(memory.device_info_percent), 1..=100);
        faults.within("memory.assembling_percent", usize::from(memory.assembling_percent), 1..=100);
        faults.within("memory.lists_percent", usize::from(memory.lists_percent), 1..=100);
        faults.within("memory.leases_percent", usize::from(memory.leases_percent), 1..=100);
    }

    fn check_http(&self, faults: &mut Faults) {
        // Hyper refuses a smaller buffer with a panic.
        faults.within("http.max_header_bytes", self.http.max_header_bytes, 8192..=1024 * 1024);
        faults.within("http.max_headers", self.http.max_headers, 16..=1024);
        faults.within("http.event_streams", self.http.event_streams, 0..=100_000);
        faults.within("http.event_buffer", self.hub.event_buffer, 1..=1_000_000);
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn check(&mut self, good: bool, key: &'static str, text: impl FnOnce() -> String) {
        if !good {
            self.0.push(Fault { key, text: text() });
        }
    }

    fn within(&mut self, key: &'static str, value: usize, range: RangeInclusive<usize>) {
        self.check(range.contains(&value), key, || format!("must be {} to {}, is {value}", range.start(), range.end()));
    }

    /// A rate that is not off lets something through, and is full again within the longest time.
    fn rate(&mut self, key: &'static str, burst_key: &'static str, rate: Rate) {
        self.check(rate.per_second <= MOST_A_SECOND, key, || format!("must be at most {MOST_A_SECOND}"));
        self.check(rate.is_off() || rate.burst > 0, burst_key, || "must be above 0".into());
        self.check(rate.filling() <= LONGEST, burst_key, || "must be full again within a day".into());
    }

    /// As [`Self::rate`]. One read may be of some 32 KiB, and the wait for it is short.
    fn bytes(&mut self, key: &'static str, burst_key: &'static str, rate: Rate) {
        self.check(rate.is_off() || rate.per_second >= 4096, key, || "must be 0, or at least 4096".into());
        self.rate(key, burst_key, rate);
    }

    fn time(&mut self, key: &'static str, value: Duration) {
        self.check(!value.is_zero(), key, || "must be above 0".into());
        self.time_or_none(key, value);
    }

    fn time_or_none(&mut self, key: &'static str, value: Duration) {
        self.check(value <= LONGEST, key, || format!("must be at most {}", LONGEST.as_millis()));
    }

    fn holds_a_message(&mut self, key: &'static str, bytes: usize, message: usize) {
        self.check(bytes >= message, key, || format!("must be at least messages.max_bytes ({message}), is {bytes}"));
    }

    fn into_result(self) -> Result<(), Vec<Fault>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
