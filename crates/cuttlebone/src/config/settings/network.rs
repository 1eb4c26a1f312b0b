//! Addresses, TLS, and how many may connect.

use std::ffi::OsString;
use std::iter;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use cuttlebone_server::{
    AcmeSettings, ConnectionSettings, FetchSettings, Fetcher, HttpsSettings, Origin, ProxySettings, TlsSettings,
    UnixAddress,
};

use super::super::accounts::{self, Kind};
use super::super::raw::{RawAccount, RawConfig, RawConnections, RawFetch, RawServer};
use super::check::{Check, count, millis, number_or_auto, rate};
use super::{access, tls};

/// What of the settings is about the network.
pub(super) struct Network {
    pub(super) listen: SocketAddr,
    pub(super) listen_unix: Option<UnixAddress>,
    /// Nobody else reaches it: neither by its address nor through a proxy.
    pub(super) is_of_this_machine: bool,
    pub(super) metrics_listen: Option<SocketAddr>,
    pub(super) tls: Option<TlsSettings>,
    pub(super) acme: Option<AcmeSettings>,
    pub(super) https: HttpsSettings,
    pub(super) connections: ConnectionSettings,
}

pub(super) fn network(
    raw: &RawConfig,
    proxy: &ProxySettings,
    check: &mut Check<'_>,
    variables: &[(OsString, OsString)],
) -> Network {
    let listen = address("server.listen", &raw.server.listen, check);
    refuse_what_was_not_meant(raw, listen, check);
    let metrics_listen = match raw.server.metrics_listen.as_str() {
        "" => None,
        text => Some(address("server.metrics_listen", text, check)),
    };
    let (tls, acme) = tls::certificate(raw, listen, check, variables);
    let https = tls::https(&raw.tls, check);
    let listens: Vec<SocketAddr> = iter::once(listen).chain(https.redirect_listen).collect();
    Network {
        listen,
        listen_unix: listen_unix(&raw.server, check),
        is_of_this_machine: listen.ip().to_canonical().is_loopback() && raw.proxy.trusted.is_empty(),
        metrics_listen,
        tls,
        acme,
        https,
        connections: connections(&raw.connections, &listens, proxy, check),
    }
}

/// A network is served with tokens and with TLS, unless the configuration says otherwise in words.
fn refuse_what_was_not_meant(raw: &RawConfig, listen: SocketAddr, check: &mut Check<'_>) {
    if listen.ip().is_loopback() {
        if !raw.proxy.trusted.is_empty() && !raw.server.allow_anonymous && !access::is_configured(raw) {
            check.fault(
                "proxy.trusted",
                "names a proxy, and nobody would be asked for a token: whoever reaches the proxy could register, list and \
                 control devices. Say who may connect: `cuttlebone token new`, and --tokens-file or access.tokens_file. If \
                 anybody may: --allow-anonymous or server.allow_anonymous = true",
            );
        }
        return;
    }
    if !raw.server.allow_anonymous && !access::is_configured(raw) {
        check.fault(
            "server.listen",
            format!(
                "{listen} is not loopback, and nobody would be asked for a token: whoever reaches it could register, list and \
                 control devices. Say who may connect: `cuttlebone token new`, and --tokens-file or access.tokens_file. If \
                 anybody may: --allow-anonymous or server.allow_anonymous = true"
            ),
        );
    }
    if raw.tls.mode == "off" && !raw.server.allow_plain_text {
        check.fault_with(
            "tls.mode",
            "server.listen",
            format!(
                "is \"off\", and server.listen = {listen} is not loopback: whoever is on the way could read tokens, and read \
                 and change messages. Give a certificate (--tls-cert and --tls-key), or let the server make one (--tls \
                 self-signed). If a proxy in front speaks TLS, or the network is closed: --allow-plain-text or \
                 server.allow_plain_text = true"
            ),
        );
    }
}

/// `server.listen_unix` and what goes with it.
fn listen_unix(raw: &RawServer, check: &mut Check<'_>) -> Option<UnixAddress> {
    if raw.listen_unix.is_empty() {
        return None;
    }
    let mode = u32::from_str_radix(&raw.listen_unix_mode, 8).unwrap_or_else(|_| {
        check.fault(
            "server.listen_unix_mode",
            format!("expected a mode in octal, such as \"0660\", not {:?}", raw.listen_unix_mode),
        );
        0
    });
    let group = Some(&raw.listen_unix_group).filter(|group| !group.is_empty()).and_then(|group| {
        let number = accounts::number(Kind::Group, &RawAccount::Name(group.clone()));
        number.map_err(|text| check.fault("server.listen_unix_group", text)).ok()
    });
    Some(UnixAddress { path: PathBuf::from(&raw.listen_unix), mode, group })
}

pub(super) fn address(key: &str, text: &str, check: &mut Check<'_>) -> SocketAddr {
    text.parse().unwrap_or_else(|_| {
        check.fault(key, format!("expected ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080, not {text:?}"));
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    })
}

/// `server.allowed_origins`
pub(super) fn origins(raw: &[String], check: &mut Check<'_>) -> Vec<Origin> {
    let mut origin = |(at, text): (usize, &String)| {
        let origin = Origin::new(text);
        if origin.is_none() {
            let text = format!("expected an origin, such as https://console.example, without a path, not {text:?}");
            check.fault(&format!("server.allowed_origins[{at}]"), text);
        }
        origin
    };
    raw.iter().enumerate().filter_map(&mut origin).collect()
}

fn connections(
    raw: &RawConnections,
    listen: &[SocketAddr],
    proxy: &ProxySettings,
    check: &mut Check<'_>,
) -> ConnectionSettings {
    let per_address = number_or_auto("connections.per_address", &raw.per_address, check);
    let pending = number_or_auto("connections.pending_per_address", &raw.pending_per_address, check);
    let per_second = number_or_auto("connections.per_address_per_second", &raw.per_address_per_second, check);
    let auto = ConnectionSettings::auto(listen, proxy);
    ConnectionSettings {
        max: count(raw.max),
        per_address: per_address.map(count).or(auto.per_address),
        pending: count(raw.pending),
        pending_per_address: pending.map(count).or(auto.pending_per_address),
        rate: rate(raw.accept_per_second, raw.accept_burst),
        rate_per_address: rate(per_second.unwrap_or(auto.rate_per_address.per_second.into()), raw.per_address_burst),
        send_buffer: count(raw.send_buffer_bytes),
        receive_buffer: count(raw.receive_buffer_bytes),
    }
}

/// How other servers are asked.
pub(super) fn fetch(raw: &RawFetch, check: &mut Check<'_>) -> FetchSettings {
    let settings = FetchSettings {
        timeout: millis(raw.timeout_ms),
        max_bytes: count(raw.max_bytes),
        allow_private: raw.allow_private,
        ca_file: Some(PathBuf::from(&raw.ca_file)).filter(|path| !path.as_os_str().is_empty()),
    };
    if let Err(error) = Fetcher::new(&settings) {
        check.fault("fetch.ca_file", error.to_string().trim_start_matches("fetch.ca_file: "));
    }
    settings
}
