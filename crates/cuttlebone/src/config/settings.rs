//! From what is written to what the crates take.
//!
//! Here is what needs the outside (files, the environment) or the words of the file; the ranges of values
//! are the server's to judge ([`Settings::validate`]).

mod access;
mod acme;
mod audit;
mod check;
mod elsewhere;
mod ice;
mod limits;
mod network;
mod oidc;
mod proxy;
mod secrets;
mod tls;

use std::ffi::OsString;

use cuttlebone_hub::Bound;
use cuttlebone_proto::Limits;
use cuttlebone_server::{AuditSettings, HttpSettings, IdCharset, LeaseSettings, MessageSettings, Settings, Timeouts};

use super::merge::Merged;
use super::raw::{RawConfig, RawDevices, RawHttp, RawLog, RawMessages, RawTimeouts};
use super::{Config, Faults};
use crate::logging::{self, LogFormat, LogSettings};
use crate::watch::Watch;
pub(crate) use access::Known;
use check::{Check, count, millis};

/// Checks every value; `faults` are those already found.
pub(super) fn check(
    raw: RawConfig,
    merged: &Merged,
    faults: Faults,
    variables: &[(OsString, OsString)],
) -> Result<Config, Faults> {
    let mut check = Check::new(merged, faults);
    let tls_files = Watch::new(tls::watched(&raw.tls));
    let proxy = proxy::proxy(&raw.proxy, &mut check);
    let network = network::network(&raw, &proxy, &mut check, variables);
    let access_files = Watch::new(access::files(&raw.access, &raw.tls));
    let known = access::known(&raw, None, &mut check);
    if proxy.unix && !raw.access.user.is_empty() {
        check.fault(
            "access.user",
            "is for those who come by the unix socket, and proxy.trusted says that these are proxies",
        );
    }
    let fetch = network::fetch(&raw.fetch, &mut check);
    elsewhere::issuers(&raw.access, &fetch, &mut check);
    let hook = elsewhere::hook(&raw.hook, &mut check);
    let settings = Settings {
        listen: network.listen,
        listen_unix: network.listen_unix,
        reuse_port: raw.server.reuse_port,
        metrics_listen: network.metrics_listen,
        allowed_origins: network::origins(&raw.server.allowed_origins, &mut check),
        access: access::settings(&raw, &known, (hook, network.is_of_this_machine), &mut check),
        proxy,
        audit: AuditSettings {
            sink: None,
            refusals_per_second: u32::try_from(raw.audit.refusals_per_second).unwrap_or(u32::MAX),
        },
        tls: network.tls,
        acme: network.acme,
        https: network.https,
        connections: network.connections,
        timeouts: timeouts(&raw.timeouts),
        messages: messages(&raw.messages),
        limits: limits::limits(&raw.limits),
        quotas: limits::quotas(&raw.quotas),
        leases: LeaseSettings { default: millis(raw.leases.default_ms), max: millis(raw.leases.max_ms) },
        hub: hub(&raw),
        id_charset: id_charset(&raw.devices, &mut check),
        resume_key: secrets::resume_key(&raw.clients, &mut check),
        memory: limits::memory(&raw.memory, &mut check),
        http: http(&raw.http),
        fetch,
        ice: ice::settings(&raw.ice, &mut check),
    };
    let faults = settings.validate().err().into_iter().flatten();
    for fault in faults.filter(|fault| fault.key != ice::KEY) {
        check.fault(fault.key, fault.text);
    }
    // Those have places of their own, with lines of their own.
    for fault in settings.ice_faults() {
        check.fault(&format!("{}.{}", ice::KEY, fault.place), fault.text);
    }
    let audit = audit::output(&raw.audit, network.is_of_this_machine, &mut check);
    let log = log(&raw.log, &mut check);
    check.into_faults().into_result(Config { settings, audit, log, known, access_files, tls_files, raw })
}

/// Reads the files of `[access]` again, without the configuration itself. What is faulty is as in `old`.
pub(super) fn known(raw: &RawConfig, old: &Known) -> (Known, Faults) {
    let merged = Merged::new();
    let mut check = Check::new(&merged, Faults::default());
    let known = access::known(raw, Some(old), &mut check);
    (known, check.into_faults())
}

fn timeouts(raw: &RawTimeouts) -> Timeouts {
    Timeouts {
        handshake: millis(raw.handshake_ms),
        first_message: millis(raw.first_message_ms),
        idle: millis(raw.idle_ms),
        ping: millis(raw.ping_ms),
        write: millis(raw.write_ms),
        response: millis(raw.response_ms),
        message: millis(raw.message_ms),
        drain: millis(raw.drain_ms),
    }
}

fn messages(raw: &RawMessages) -> MessageSettings {
    MessageSettings {
        limits: Limits {
            message_bytes: count(raw.max_bytes),
            depth: count(raw.max_depth),
            device_info_bytes: count(raw.max_device_info_bytes),
        },
        max_fragments: count(raw.max_fragments),
    }
}

fn hub(raw: &RawConfig) -> cuttlebone_hub::Settings {
    let RawConfig { queues, devices, clients, leases, .. } = raw;
    let bound = |frames, bytes| Bound { frames: count(frames), bytes: count(bytes) };
    cuttlebone_hub::Settings {
        client_queue: bound(queues.client_frames, queues.client_bytes),
        device_queue: bound(queues.device_frames, queues.device_bytes),
        held: bound(queues.held_frames, queues.held_bytes),
        client_share: bound(queues.share_frames, queues.share_bytes),
        // Follows from the memory that there is, see [`Server::bind`](cuttlebone_server::Server::bind).
        all_queues_bytes: cuttlebone_hub::Settings::default().all_queues_bytes,
        all_device_infos_bytes: cuttlebone_hub::Settings::default().all_device_infos_bytes,
        full_wait: millis(queues.full_wait_ms),
        clients_per_device: count(devices.clients_per_device),
        device_grace: millis(devices.grace_ms),
        probe: millis(devices.probe_ms),
        client_wait: millis(clients.wait_ms),
        waiting_per_device: count(clients.waiting_per_device),
        waiting: count(clients.waiting),
        client_grace: millis(clients.grace_ms),
        resume_kept: bound(clients.resume_kept_frames, clients.resume_kept_bytes),
        resume_ttl: millis(clients.resume_token_ms),
        resume_after_restart: millis(clients.resume_after_restart_ms),
        leases_per_holder: count(leases.per_principal),
        leases: count(leases.most),
        event_buffer: count(raw.http.event_buffer),
    }
}

fn id_charset(raw: &RawDevices, check: &mut Check<'_>) -> IdCharset {
    match raw.id_charset.as_str() {
        "any" => IdCharset::Any,
        "plain" => IdCharset::Plain,
        other => {
            check.fault("devices.id_charset", format!("expected \"any\" or \"plain\", not {other:?}"));
            IdCharset::Any
        }
    }
}

fn http(raw: &RawHttp) -> HttpSettings {
    HttpSettings {
        max_header_bytes: count(raw.max_header_bytes),
        max_headers: count(raw.max_headers),
        event_streams: count(raw.event_streams),
    }
}

fn log(raw: &RawLog, check: &mut Check<'_>) -> LogSettings {
    let format = LogFormat::parse(&raw.format).unwrap_or_else(|| {
        check.fault("log.format", "expected \"auto\", \"text\" or \"json\"");
        LogFormat::Auto
    });
    if let Err(error) = logging::check_level(&raw.level) {
        check.fault("log.level", error);
    }
    LogSettings { format, level: raw.level.clone() }
}
