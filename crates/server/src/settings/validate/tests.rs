use super::*;
use crate::proxy::{Network, ProxySettings};
use crate::settings::LimitSettings;
use cuttlebone_transport::UnixAddress;

fn keys(settings: &Settings) -> Vec<&'static str> {
    settings.validate().err().unwrap_or_default().iter().map(|fault| fault.key).collect()
}

#[test]
fn defaults_have_no_fault() {
    assert_eq!(keys(&Settings::default()), Vec::<&str>::new());
}

#[test]
fn all_faults_are_named_at_once_by_their_keys() {
    let mut settings = Settings::default();
    settings.connections.max = 0;
    settings.timeouts.ping = settings.timeouts.idle;
    settings.hub.client_queue.bytes = settings.messages.limits.message_bytes - 1;
    settings.http.max_header_bytes = 100;
    let expected = ["connections.max", "timeouts.ping_ms", "queues.client_bytes", "http.max_header_bytes"];
    assert_eq!(keys(&settings), expected);
}

#[test]
fn answer_is_not_held_back_for_hours() {
    let mut settings = Settings::default();
    settings.access.failure_delay = Duration::from_secs(3600);
    settings.access.failures_within = Duration::ZERO;
    assert_eq!(keys(&settings), ["access.failures_within_ms", "access.failure_delay_ms"]);
}

#[test]
fn header_of_the_proxy_protocol_is_asked_of_somebody() {
    let mut settings = Settings::default();
    settings.proxy.protocol = true;
    assert_eq!(keys(&settings), ["proxy.protocol"]);
    settings.proxy.trusted = vec![Network::new("10.0.0.0/8").expect("a network"); 64];
    assert_eq!(keys(&settings), Vec::<&str>::new());
    settings.proxy.trusted.extend(Network::new("127.0.0.1"));
    assert_eq!(keys(&settings), ["proxy.trusted"]);
    settings.proxy = ProxySettings { unix: true, ..ProxySettings::default() };
    assert_eq!(keys(&settings), ["proxy.trusted"], "there is no unix socket");
}

#[test]
fn unix_socket_has_a_path_that_the_system_takes_and_a_mode() {
    let mut settings = Settings::default();
    let unix = |path: &str, mode| Some(UnixAddress { path: path.into(), mode, group: None });
    settings.listen_unix = unix(&"x".repeat(108), 0o1000);
    assert_eq!(keys(&settings), ["server.listen_unix", "server.listen_unix_mode"]);
    settings.listen_unix = unix(&"x".repeat(107), 0o777);
    assert_eq!(keys(&settings), Vec::<&str>::new());
}

#[test]
fn no_time_may_be_zero_where_zero_closes_everything() {
    let mut settings = Settings::default();
    settings.timeouts.handshake = Duration::ZERO;
    settings.timeouts.response = Duration::ZERO;
    settings.timeouts.drain = Duration::ZERO;
    assert_eq!(keys(&settings), ["timeouts.handshake_ms", "timeouts.response_ms"]);
}

#[test]
fn certificate_is_got_for_names_only() {
    let acme = crate::settings::AcmeSettings {
        domains: Vec::new(),
        contact: Vec::new(),
        directory_url: "https://authority.example/dir".to_owned(),
        challenge: AcmeChallenge::TlsAlpn01,
        ca_file: None,
        state_dir: "state".into(),
        renew_before: Duration::from_secs(60),
        external_account: None,
        retry: Duration::from_secs(1),
        retry_max: Duration::from_secs(1),
    };
    let tls = Some(TlsSettings::Kept { file: acme.certificate_file() });
    let mut settings = Settings { tls, acme: Some(acme), ..Settings::default() };
    for (name, is_name) in [
        ("a.b", true),
        ("xn--4ca.Example-1.org", true),
        ("a.b:80", false),
        ("u@a.b", false),
        ("*.a.b", false),
        ("a_b.c", false),
        ("[::1.2.3.4]", false),
        ("\u{e4}.b", false),
        ("localhost", false),
        ("", false),
    ] {
        settings.acme.as_mut().expect("it is set").domains = vec![name.to_owned()];
        let expected: &[&str] = if is_name { &[] } else { &["acme.domains"] };
        assert_eq!(keys(&settings), expected, "{name}");
    }
}

#[test]
fn rate_that_lets_nothing_through_is_a_fault_and_one_that_is_off_is_not() {
    let mut settings = Settings { limits: LimitSettings::OFF, ..Settings::default() };
    assert_eq!(keys(&settings), Vec::<&str>::new());
    settings.limits.client.messages = Rate { per_second: 1, burst: 0 };
    settings.limits.client.bytes = Rate { per_second: 4095, burst: 1 };
    settings.limits.device.frames = Rate { per_second: u32::MAX, burst: 1 };
    settings.limits.control_frames = Rate { per_second: 1, burst: u32::MAX };
    let expected = [
        "limits.client_messages_burst",
        "limits.client_bytes_per_second",
        "limits.device_frames_per_second",
        "limits.control_frames_burst",
    ];
    assert_eq!(keys(&settings), expected);
}

#[test]
fn quotas_that_let_nobody_in_are_faults() {
    let mut settings = Settings::default();
    settings.quotas.clients = 0;
    settings.quotas.devices = 0;
    settings.quotas.registrations_burst = 0;
    settings.quotas.failed_connects_within = Duration::ZERO;
    let expected = [
        "quotas.clients_per_principal",
        "quotas.devices_per_principal",
        "quotas.registrations_burst",
        "quotas.failed_connects_within_ms",
    ];
    assert_eq!(keys(&settings), expected);
}

#[test]
fn lease_lasts_a_second_at_least_and_no_longer_than_it_may() {
    for (default, max, expected) in
        [(1, 1, &[] as &[&str]), (60, 59, &["leases.default_ms"]), (0, 60, &["leases.default_ms"])]
    {
        let mut settings = Settings::default();
        (settings.leases.default, settings.leases.max) = (Duration::from_secs(default), Duration::from_secs(max));
        assert_eq!(keys(&settings), expected);
    }
}

#[test]
fn faults_of_ice_name_their_place() {
    let mut settings = Settings::default();
    settings.ice.ttl = Duration::ZERO;
    let faults = settings.validate().unwrap_err();
    assert_eq!(faults[0].to_string(), "ice: ttl_ms: must be at least a second");
}

#[test]
fn fault_reads_as_key_and_text() {
    let mut settings = Settings::default();
    settings.connections.max = 0;
    let faults = settings.validate().unwrap_err();
    assert_eq!(faults[0].to_string(), "connections.max: must be 1 to 10000000, is 0");
}
