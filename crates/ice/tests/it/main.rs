//! The configuration of coturn that is there to be copied: security.md T46.

use cuttlebone_ice::TurnSecret;

const CONF: &str = include_str!("../../../../deploy/coturn/turnserver.conf");

/// What is said of a key, once for each line that says it; nothing after it counts as "".
fn values(key: &str) -> Vec<&'static str> {
    let lines = CONF.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once('=').unwrap_or((line, "")));
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
}

#[test]
fn t46_relay_sends_nothing_into_the_networks_around_it() {
    let denied = values("denied-peer-ip");
    for range in [
        "0.0.0.0-0.255.255.255",
        "10.0.0.0-10.255.255.255",
        "100.64.0.0-100.127.255.255",
        "127.0.0.0-127.255.255.255",
        "169.254.0.0-169.254.255.255",
        "172.16.0.0-172.31.255.255",
        "192.168.0.0-192.168.255.255",
        "::1",
        "::ffff:0:0-::ffff:ffff:ffff",
        "::ffff:0:0:0-::ffff:0:ffff:ffff",
        "5f00::-5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        assert!(denied.contains(&range), "{range} is not denied");
    }
    // coturn 4.6 takes an address of zeros at the beginning of an IPv6 range for any address, and denies everything.
    assert!(!denied.iter().any(|range| *range == "::" || range.starts_with("::-")));
    assert_eq!(values("no-multicast-peers"), [""]);
    assert_eq!(values("no-tcp-relay"), [""]);
    assert!(values("allowed-peer-ip").is_empty() && values("allow-loopback-peers").is_empty());
}

#[test]
fn t46_every_range_is_one_that_coturn_reads() {
    use std::net::IpAddr;
    for range in values("denied-peer-ip") {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (IpAddr, IpAddr) = (first.parse().expect(range), last.parse().expect(range));
        assert!(first <= last && first.is_ipv4() == last.is_ipv4(), "{range}");
    }
}

#[test]
fn t46_use_is_bounded_and_only_for_those_with_a_credential_of_ours() {
    assert_eq!((values("user-quota"), values("use-auth-secret")), (vec!["12"], vec![""]));
    for key in ["total-quota", "max-bps", "max-allocate-lifetime", "stale-nonce"] {
        let [value] = values(key)[..] else { panic!("{key} is not there once") };
        assert!(value.parse::<u32>().is_ok_and(|value| value > 0), "{key}");
    }
    assert_eq!((values("no-cli"), values("lt-cred-mech"), values("user")), (vec![""], vec![], vec![]));
    assert_eq!((values("no-tlsv1"), values("no-tlsv1_1")), (vec![""], vec![""]));
}

#[test]
fn t47_secret_of_the_sample_is_not_taken_for_one() {
    let [sample] = values("static-auth-secret")[..] else { panic!("one") };
    assert!(TurnSecret::new(sample).is_err());
}
