//! Everything that is counted. Each metric is declared once, with its help.
//!
//! Invariants: 1. labels come from enums or from the table of refusals, so that no peer can make a new series; 2. what is
//! counted for each message is one relaxed atomic addition, found without a lock or a map; 3. a gauge that counts living
//! things is held by a guard whose drop counts them down.
//!
//! Everybody counts here; [`endpoint`] shows it.

mod declare;
pub(crate) mod endpoint;
mod labels;
pub(crate) mod process;

use std::sync::atomic::Ordering;
use std::time::Duration;

use cuttlebone_hub::{Counts, Direction, Observer, ResumeOutcome};
use cuttlebone_proto::{ClientId, CloseCode, Reject};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use declare::Declare;
use labels::PerLabel;
pub(crate) use labels::{
    AcceptError, CertificateLoad, Fetched, HookOutcome, KeyFetch, LoginOutcome, Order, Paused, Peer, Refusal, Renewed,
    Timeout,
};

/// The counters and gauges of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    connections: PerLabel<Peer, Gauge>,
    devices: Gauge,
    clients: Gauge,
    waiting_clients: Gauge,
    leases: Gauge,
    queued_bytes: Gauge,
    device_info_bytes: Gauge,
    assembling_bytes: Gauge,
    list_bytes: Gauge,
    messages: PerLabel<Direction, Counter>,
    bytes: PerLabel<Direction, Counter>,
    closes: PerLabel<CloseCode, Counter>,
    refused: PerLabel<Refusal, Counter>,
    accept_errors: PerLabel<AcceptError, Counter>,
    timeouts: PerLabel<Timeout, Counter>,
    rejects: Family<[(&'static str, &'static str); 1], Counter>,
    panics: Counter,
    pauses: Counter,
    rate_pauses: PerLabel<Paused, Counter>,
    held: Counter,
    returns: Counter,
    takeovers: Counter,
    resumes: PerLabel<ResumeOutcome, Counter>,
    evictions: Counter,
    paused_clients: Gauge,
    memory_limit: Gauge,
    lease_bytes: Gauge,
    system_bytes: Gauge,
    let_go: Counter,
    won_back: Counter,
    not_expected: Counter,
    slowed_failures: Counter,
    slowed_connects: Counter,
    logins: PerLabel<LoginOutcome, Counter>,
    failed_addresses: Gauge,
    forgotten_addresses: Counter,
    verified_tokens: Gauge,
    forgotten_tokens: Counter,
    key_fetches: PerLabel<KeyFetch, Counter>,
    key_ages: Family<[(&'static str, String); 1], Gauge>,
    keys_not_fetched: Counter,
    hook_answers: PerLabel<HookOutcome, Counter>,
    hook_tokens: Gauge,
    hook_withdrawn: Counter,
    event_streams: Gauge,
    certificate_end: Gauge,
    certificate_loads: PerLabel<CertificateLoad, Counter>,
    orders: PerLabel<Order, Counter>,
    turn_credentials: Counter,
    ice_fetches: PerLabel<Fetched, Counter>,
    config_renewals: PerLabel<Renewed, Counter>,
    audit_lines: Counter,
    audit_left_out: Counter,
    audit_lost: Counter,
}

/// One living thing in a gauge, until dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut declare = Declare::with_what_is_of_the_process();
        let bytes: Family<_, _> = declare.with_unit("forwarded", "Payload passed on, by whom it was for", Unit::Bytes);
        let memory_limit = declare.with_unit("memory_limit", "What this process may have; 0: not watched", Unit::Bytes);
        let help = "Age of the keys of an issuer that has them at a URL, by its number in access.jwt";
        let key_ages = declare.with_unit("issuer_keys_age", help, Unit::Seconds);
        let help = "When the certificate ends, since 1970; 0 if there is none";
        let certificate_end = declare.with_unit("certificate_end", help, Unit::Seconds);
        Self {
            connections: declare.each("connections", "Open connections, by what they are"),
            devices: declare.one("devices", "Registered devices"),
            clients: declare.one("clients", "Clients that are attached to a device"),
            waiting_clients: declare.one("waiting_clients", "Clients that wait for a device"),
            leases: declare.one("leases", "Devices that one has for itself"),
            queued_bytes: declare.one("queued_bytes", "Bytes in all queues of peers, to within 4 KiB for each"),
            device_info_bytes: declare.one("device_info_bytes", "Bytes of every device_info, to within 4 KiB for each"),
            assembling_bytes: declare.one("assembling_bytes", "Bytes that unfinished messages over 16 KiB may come to"),
            list_bytes: declare.one("list_bytes", "Bytes of lists of devices that are kept or not read yet"),
            lease_bytes: declare.one("lease_bytes", "Bytes of leases, with what is known of their holders"),
            messages: declare.each("forwarded_messages", "Messages passed on, by whom they were for"),
            bytes: PerLabel::new(&bytes),
            closes: declare.each("closes", "Close frames sent, by code"),
            refused: declare.each("refused_connections", "Connections that were not served, by reason"),
            accept_errors: declare.each("accept_errors", "Failures to take a connection from the system"),
            timeouts: declare.each("timeouts", "Connections that were given up on, by what they were late with"),
            rejects: declare.one("rejects", "Refusals of the protocol, by the word in cuttlebone_code"),
            panics: declare.one("panics", "Connections that ended in a fault of the server"),
            pauses: declare.one("pauses", "Times that a client was not read because the queue of its device was full"),
            rate_pauses: declare
                .each("rate_pauses", "Times that a peer was not read because it had sent more than its rate"),
            held: declare.one("held_messages", "Messages held for a device whose connection broke"),
            returns: declare.one("device_returns", "Devices that came back within their grace period"),
            takeovers: declare.one("takeovers", "Registrations that took an id over from one that did not answer"),
            resumes: declare.each("resumes", "Clients that asked to go on with their session, by what came of it"),
            evictions: declare
                .one("queue_evictions", "Connections closed because they did not read what they were sent"),
            paused_clients: declare.one("paused_clients", "Clients not read while the queue of their device is full"),
            memory_limit,
            system_bytes: declare.one("system_bytes", "What the system itself holds of memory_limit_bytes"),
            slowed_failures: declare.one("slowed_failures", "Answers to those not recognised that had to wait"),
            slowed_connects: declare
                .one("slowed_connects", "Connects that had to wait, for many of the same asker led to no device"),
            logins: declare.each("logins", "What came of signing in at the provider"),
            let_go: declare.one("let_go_clients", "Clients that waited and were let go for want of memory"),
            not_expected: declare
                .one("clients_not_expected", "Clients of an earlier process that there was no room for"),
            won_back: declare.one("memory_won_back", "Times that little memory was left and some was won back"),
            failed_addresses: declare
                .one("failed_addresses", "Addresses whose failures to be recognised are remembered"),
            forgotten_addresses: declare
                .one("failed_addresses_forgotten", "Addresses that were forgotten early, for want of room"),
            verified_tokens: declare
                .one("verified_tokens", "Tokens and certificates that are remembered after they were verified"),
            forgotten_tokens: declare
                .one("verified_tokens_forgotten", "Verified tokens that were forgotten for want of room"),
            key_fetches: declare.each("issuer_keys_fetches", "Fetches of the keys of issuers, by what came of them"),
            key_ages,
            keys_not_fetched: declare.one(
                "issuer_keys_not_fetched",
                "Tokens with a key that is not there, for which no fetch was begun: too soon, or for nothing before",
            ),
            hook_answers: declare.each("hook_answers", "Tokens that the hook was to know, by what came of it"),
            hook_tokens: declare.one("hook_tokens", "Tokens that the hook knows and is asked about again"),
            hook_withdrawn: declare.one("hook_withdrawn", "Tokens in use that the hook does not know as before"),
            event_streams: declare.one("event_streams", "Open streams of device events"),
            certificate_end,
            orders: declare.each("acme_orders", "Certificates that an authority was asked for, by what came of it"),
            certificate_loads: declare
                .each("certificate_loads", "Times that another certificate was to be taken while running"),
            turn_credentials: declare
                .one("turn_credentials", "Credentials for TURN servers that were made from a secret"),
            ice_fetches: declare.each("ice_fetches", "Questions to providers of TURN servers, by what came of them"),
            config_renewals: declare
                .each("config_renewals", "Peers that were told again of STUN and TURN servers, by why"),
            audit_lines: declare.one("audit_lines", "Lines of the audit log"),
            audit_left_out: declare
                .one("audit_left_out", "Refusals that the audit log only counts, for there were too many in a second"),
            audit_lost: declare.one("audit_lost_lines", "Lines of the audit log that could not be written"),
            registry: declare.into_registry(),
        }
    }

    /// Counts a connection while it is open.
    pub(crate) fn connection(&self, peer: Peer) -> Counted {
        count(self.connections.at(peer))
    }

    /// Counts a client while it is not read.
    pub(crate) fn paused_client(&self) -> Counted {
        count(&self.paused_clients)
    }

    /// Counts a stream of events while it is open.
    pub(crate) fn event_stream(&self) -> Counted {
        count(&self.event_streams)
    }

    /// A peer was refused something; `reason` is a word from a table of ours, never text of a peer.
    pub(crate) fn refused_with(&self, reason: &'static str) {
        tracing::debug!(reason, "refused");
        self.rejects.get_or_create(&[("reason", reason)]).inc();
    }

    /// A close frame was sent.
    pub(crate) fn closed(&self, code: CloseCode) {
        self.closes.at(code).inc();
    }

    /// A connection was not served.
    pub(crate) fn refused(&self, reason: Refusal) {
        tracing::debug!(?reason, "connection not served");
        self.refused.at(reason).inc();
    }

    /// The system gave no connection.
    pub(crate) fn accept_failed(&self, error: AcceptError) {
        self.accept_errors.at(error).inc();
    }

    /// A peer was late.
    pub(crate) fn timed_out(&self, which: Timeout) {
        self.timeouts.at(which).inc();
    }

    /// What the system itself holds out of what this process may have, in bytes.
    pub(crate) fn set_system_bytes(&self, bytes: u64) {
        self.system_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What this process may have, in bytes.
    pub(crate) fn set_memory_limit(&self, bytes: u64) {
        self.memory_limit.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// When the certificate ends, in seconds since 1970.
    pub(crate) fn set_certificate_end(&self, seconds: Option<u64>) {
        self.certificate_end.set(seconds.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default());
    }

    /// Another certificate was to be taken.
    pub(crate) fn certificate_loaded(&self, outcome: CertificateLoad) {
        self.certificate_loads.at(outcome).inc();
    }

    /// An authority was asked for a certificate.
    pub(crate) fn ordered(&self, outcome: Order) {
        self.orders.at(outcome).inc();
    }

    /// What lists of devices come to, in bytes.
    pub(crate) fn set_lists(&self, bytes: usize) {
        set(&self.list_bytes, bytes);
    }

    /// What leases come to, in bytes.
    pub(crate) fn set_leases(&self, bytes: usize) {
        set(&self.lease_bytes, bytes);
    }

    /// What unfinished messages may come to, in bytes.
    pub(crate) fn set_assembling(&self, bytes: usize) {
        set(&self.assembling_bytes, bytes);
    }

    /// Memory was won back.
    pub(crate) fn won_back(&self) {
        self.won_back.inc();
    }

    /// So many clients that waited were let go.
    pub(crate) fn let_go(&self, clients: usize) {
        self.let_go.inc_by(clients as u64);
    }

    /// A peer was not read for a while.
    pub(crate) fn rate_paused(&self, by: impl Into<Paused>) {
        self.rate_pauses.at(by.into()).inc();
    }

    /// A connect had to wait, because many before it had failed.
    pub(crate) fn slowed_connect(&self) {
        self.slowed_connects.inc();
    }

    /// The answer to one that was not recognised had to wait.
    pub(crate) fn slowed(&self) {
        self.slowed_failures.inc();
    }

    /// Somebody was to sign in at the provider.
    pub(crate) fn login(&self, outcome: LoginOutcome) {
        self.logins.at(outcome).inc();
    }

    /// So many addresses are remembered that failed, and so many were forgotten early, ever.
    pub(crate) fn set_failed_addresses(&self, (remembered, forgotten): (usize, u64)) {
        set(&self.failed_addresses, remembered);
        self.forgotten_addresses.inner().store(forgotten, Ordering::Relaxed);
    }

    /// So many verified tokens are remembered, and so many were forgotten for want of room, ever.
    pub(crate) fn set_verified_tokens(&self, remembered: usize, forgotten: u64) {
        set(&self.verified_tokens, remembered);
        self.forgotten_tokens.inner().store(forgotten, Ordering::Relaxed);
    }

    /// The keys of an issuer were fetched.
    pub(crate) fn fetched_keys(&self, outcome: KeyFetch) {
        self.key_fetches.at(outcome).inc();
    }

    /// How old the keys of each issuer are.
    pub(crate) fn set_key_ages(&self, ages: impl Iterator<Item = (usize, Duration)>) {
        self.key_ages.clear();
        for (issuer, age) in ages {
            let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            self.key_ages.get_or_create_owned(&[("issuer", issuer.to_string())]).set(age);
        }
    }

    /// A token named a key that is not there, and no fetch was begun for it.
    pub(crate) fn key_not_fetched(&self) {
        self.keys_not_fetched.inc();
    }

    /// The hook was to know a token.
    pub(crate) fn hook_answered(&self, outcome: HookOutcome) {
        self.hook_answers.at(outcome).inc();
    }

    /// So many tokens are asked about again and again.
    pub(crate) fn set_hook_tokens(&self, tokens: usize) {
        set(&self.hook_tokens, tokens);
    }

    /// So many tokens in use are not known as before.
    pub(crate) fn hook_withdrew(&self, tokens: usize) {
        self.hook_withdrawn.inc_by(tokens as u64);
    }

    /// So many credentials for TURN servers were made from a secret.
    pub(crate) fn made_credentials(&self, count: usize) {
        self.turn_credentials.inc_by(count as u64);
    }

    /// A provider of TURN servers was asked.
    pub(crate) fn fetched(&self, outcome: Fetched) {
        self.ice_fetches.at(outcome).inc();
    }

    /// A peer was told again of STUN and TURN servers.
    pub(crate) fn renewed_config(&self, why: Renewed) {
        self.config_renewals.at(why).inc();
    }

    /// A line of the audit log.
    pub(crate) fn audit_line(&self) {
        self.audit_lines.inc();
    }

    /// A refusal that the audit log only counts.
    pub(crate) fn audit_left_out(&self) {
        self.audit_left_out.inc();
    }

    /// So many lines of the audit log were lost so far.
    pub(crate) fn set_audit_lost(&self, lines: u64) {
        self.audit_lost.inner().store(lines, Ordering::Relaxed);
    }

    /// A connection ended in a panic.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// All metrics in the text format of OpenMetrics; `now` is what the hub counts.
    pub(crate) fn render(&self, now: Counts) -> String {
        set(&self.devices, now.devices);
        set(&self.clients, now.clients);
        set(&self.waiting_clients, now.waiting);
        set(&self.leases, now.leases);
        set(&self.queued_bytes, now.queued_bytes);
        set(&self.device_info_bytes, now.device_info_bytes);
        let mut page = String::new();
        if let Err(error) = text::encode(&mut page, &self.registry) {
            tracing::error!(%error, "the metrics can't be written");
        }
        page
    }
}

impl Observer for Metrics {
    /// Called for every message: two relaxed additions.
    fn forwarded(&self, direction: Direction, bytes: usize) {
        self.messages.at(direction).inc();
        self.bytes.at(direction).inc_by(bytes as u64);
    }

    fn rejected(&self, reject: &Reject) {
        self.refused_with(reject.code());
        match reject {
            Reject::TooSlow => drop(self.evictions.inc()),
            Reject::NoFirstMessage => self.timed_out(Timeout::FirstMessage),
            _ => {}
        }
    }

    fn paused(&self) {
        self.pauses.inc();
    }

    fn held(&self) {
        self.held.inc();
    }

    fn returned(&self) {
        self.returns.inc();
    }

    fn not_expected(&self, _: ClientId) {
        self.not_expected.inc();
    }

    fn resumed(&self, outcome: ResumeOutcome) {
        self.resumes.at(outcome).inc();
    }

    fn taken_over(&self) {
        self.takeovers.inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn count(gauge: &Gauge) -> Counted {
    gauge.inc();
    Counted(gauge.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: Counts =
        Counts { devices: 3, clients: 2, waiting: 1, leases: 4, queued_bytes: 4096, device_info_bytes: 8192 };

    #[test]
    fn names_carry_the_prefix_the_unit_and_the_help() {
        let metrics = Metrics::new();
        metrics.forwarded(Direction::ToDevice, 1500);
        metrics.rejected(&Reject::InvalidJson);
        metrics.closed(CloseCode::Policy);
        let page = metrics.render(HUB);
        for line in [
            "cuttlebone_forwarded_bytes_total{direction=\"to_device\"} 1500",
            "cuttlebone_forwarded_messages_total{direction=\"to_device\"} 1",
            "cuttlebone_forwarded_messages_total{direction=\"to_client\"} 0",
            "cuttlebone_devices 3",
            "cuttlebone_clients 2",
            "cuttlebone_waiting_clients 1",
            "cuttlebone_leases 4",
            "cuttlebone_rejects_total{reason=\"invalid_json\"} 1",
            "cuttlebone_closes_total{code=\"1008\"} 1",
            "# HELP cuttlebone_panics Connections that ended in a fault of the server.",
        ] {
            assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn guard_counts_down_when_dropped() {
        let metrics = Metrics::new();
        let open = metrics.connection(Peer::Client);
        assert!(metrics.render(HUB).contains("cuttlebone_connections{role=\"client\"} 1"));
        drop(open);
        assert!(metrics.render(HUB).contains("cuttlebone_connections{role=\"client\"} 0"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn process_shows_memory_and_files() {
        let page = Metrics::new().render(HUB);
        let value = |name: &str| -> u64 {
            page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_default()
        };
        assert!(value("cuttlebone_process_resident_memory_bytes ") > 100_000, "{page}");
        assert!(value("cuttlebone_process_open_fds ") > 2, "{page}");
    }
}
