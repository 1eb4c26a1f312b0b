//! Certificates that peers show.

pub(crate) mod support;

use std::time::Duration;

use cuttlebone_access::{NewToken, TokenFields};
use cuttlebone_client::{ClientEvent, ClientOptions, DeviceEvent, DeviceOptions, Endpoint, Trust, client, device};
use cuttlebone_server::TlsError;
use rcgen::{ExtendedKeyUsagePurpose, SerialNumber, date_time_ymd};
use tokio::time::Instant;

use crate::certificates::certificate_of;
use support::{Asking, Authority, Identity, access, from_now, needing, needing_pem, needing_with, unix_now};

const WHOAMI: &str = "GET /api/v1/whoami";

#[tokio::test]
async fn peer_is_whom_its_certificate_names() {
    let authority = Authority::new();
    let asking = Asking::new("names", &authority, false);
    let peer = authority.client("CVD-1.lab.example");
    assert_eq!(peer.name(&asking.server, "").await, "cvd-1.lab.example");
    let mut device = peer.device(&asking.server, "cvd-1").await;
    let mut other = authority.client("cvd-2.lab.example").websocket(&asking.server, "/register_device", None).await;
    let other = other.as_mut().expect("upgraded");
    other.send(r#"{"message_type":"register","device_id":"cvd-1"}"#).await;
    let (error, code) = other.close().await;
    assert!(error.contains("device_id_taken") && code == 1008, "another name, another device: {error} {code}");
    peer.reach(&asking.server, "cvd-1", &mut device).await;
}

/// The library looks for a way through all that a peer sends, in every order: of a dozen that could follow each other, for a second.
#[tokio::test]
async fn peer_may_send_six_certificates_beside_its_own() {
    let authority = Authority::new();
    let asking = Asking::new("padded", &authority, false);
    for (number, status) in [(6, 200), (7, 0)] {
        assert_eq!(authority.padded(number).status(&asking.server, WHOAMI, "").await, status, "{number}");
    }
    assert_eq!(
        authority.namesakes().status(&asking.server, WHOAMI, "").await,
        0,
        "of one name they are tried in each order"
    );
}

/// They are kept as long as it is connected.
#[tokio::test]
async fn certificates_of_a_peer_are_16_kib_at_most() {
    let authority = Authority::new();
    let asking = Asking::new("bulky", &authority, false);
    for (bytes, status) in [(15_000, 200), (16_384, 0)] {
        let peer = authority.bulky(bytes);
        assert_eq!(peer.status(&asking.server, WHOAMI, "").await, status, "{bytes}");
    }
}

/// Both roles of the SDK, where a certificate is the only way in.
#[tokio::test]
async fn sdk_shows_its_certificate() {
    let authority = Authority::new();
    let asking = Asking::new("sdk", &authority, true);
    let endpoint = |certificate| {
        let endpoint = Endpoint::parse(&format!("wss://{}", asking.server.addr)).expect("an address");
        let endpoint = endpoint.with_certificate(certificate).expect("a pair");
        endpoint.with_trust(Trust::Insecure).expect("TLS")
    };
    let ours = authority.certificate("cvd-1.lab.example");
    let info = serde_json::value::to_raw_value("d").expect("JSON");
    let (_device, mut registered) = device(DeviceOptions::new(endpoint(ours.clone()), "cvd-1", info));
    assert!(matches!(registered.next().await, Some(DeviceEvent::Registered { .. })));
    let (_client, mut events) = client(ClientOptions::new(endpoint(ours), "cvd-1"));
    assert!(matches!(events.next().await, Some(ClientEvent::Config { .. })));
    let stranger = Authority::new().certificate("cvd-1.lab.example");
    let (_stranger, mut events) = client(ClientOptions::new(endpoint(stranger), "cvd-1"));
    assert!(matches!(events.next().await, Some(ClientEvent::Lost { .. })));
}

#[tokio::test]
async fn who_is_not_vouched_for_gets_no_connection() {
    let authority = Authority::new();
    for required in [false, true] {
        let asking = Asking::new(&format!("vouched-{required}"), &authority, required);
        let good = authority.client("a.lab.example");
        assert_eq!(good.status(&asking.server, WHOAMI, "").await, 200);
        let none = if required { 0 } else { 401 };
        assert_eq!(Identity::none().status(&asking.server, WHOAMI, "").await, none, "without one");
        for (what, peer) in [
            ("another authority", Authority::new().client("a.lab.example")),
            ("expired", authority.sign("a.lab.example", |params| params.not_after = date_time_ymd(2026, 1, 1))),
            ("not valid yet", authority.sign("a.lab.example", |params| params.not_before = date_time_ymd(2045, 1, 1))),
            (
                "for servers",
                authority.sign("a.lab.example", |params| {
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                }),
            ),
        ] {
            assert_eq!(peer.status(&asking.server, WHOAMI, "").await, 0, "{what}, required: {required}");
        }
        let nobody = authority.client("a.elsewhere.example");
        assert_eq!(nobody.status(&asking.server, WHOAMI, "").await, 401);
        assert_eq!(asking.server.metric(r#"cuttlebone_rejects_total{reason="certificate_of_nobody"}"#).await, 1);
        assert_eq!(nobody.status(&asking.server, "GET /livez", "").await, 200);
    }
}

#[tokio::test]
async fn token_goes_before_the_certificate_and_that_before_the_cookie() {
    let authority = Authority::new();
    let new = NewToken::from_random(&[7; 32]);
    let line = new.line(&TokenFields { name: "token", role: "observer", ..TokenFields::default() }).expect("a line");
    let asking = Asking::with("order", &authority, false, |settings| {
        settings.access.access = access(&authority.pem(), &line);
    });
    let (bearer, cookie) = (
        format!("authorization: Bearer {}\r\n", new.secret()),
        format!("cookie: __Host-Http-cuttlebone={}\r\n", new.secret()),
    );
    let peer = authority.client("a.lab.example");
    assert_eq!(peer.name(&asking.server, &bearer).await, "token");
    assert_eq!(peer.name(&asking.server, &cookie).await, "a.lab.example");
    assert_eq!(Identity::none().name(&asking.server, &cookie).await, "token");
    let nobody = authority.client("a.elsewhere.example");
    assert_eq!(nobody.name(&asking.server, &cookie).await, "token", "a certificate of nobody is none");
    let bad = "authorization: Bearer abc\r\n";
    assert_eq!(peer.status(&asking.server, WHOAMI, bad).await, 401, "a bad token is not made good");
}

#[tokio::test]
async fn where_anybody_is_served_a_certificate_of_nobody_is_no_reason_to_turn_a_page_away() {
    let authority = Authority::new();
    let asking = Asking::with("anybody", &authority, false, |settings| settings.access.anonymous = true);
    for (peer, name) in [("a.lab.example", "a.lab.example"), ("a.elsewhere.example", "")] {
        let peer = authority.client(peer);
        assert_eq!(peer.status(&asking.server, WHOAMI, "").await, 200);
        assert_eq!(peer.name(&asking.server, "").await, name);
    }
}

/// T01: a browser shows the certificate for any page that makes it ask.
#[tokio::test]
async fn t01_certificate_counts_for_our_own_pages_only() {
    let authority = Authority::new();
    let asking = Asking::with("origins", &authority, false, |settings| {
        let origins = ["https://console.example", "http://old.example"];
        settings.allowed_origins = origins.into_iter().filter_map(cuttlebone_server::Origin::new).collect();
    });
    let (peer, own) = (authority.client("a.lab.example"), asking.server.addr);
    // An image, or a link, names no origin.
    for (site, name) in
        [("none", "a.lab.example"), ("same-origin", "a.lab.example"), ("same-site", ""), ("cross-site", "")]
    {
        let lines = format!("sec-fetch-site: {site}\r\nsec-fetch-dest: document\r\n");
        assert_eq!(peer.name(&asking.server, &lines).await, name, "{site}");
    }
    // One that may ask, and comes by no TLS: whoever is on the way can change it.
    assert_eq!(peer.name(&asking.server, "origin: http://old.example\r\n").await, "");
    for (origin, counts) in [
        (format!("https://{own}"), true),
        ("https://console.example".to_owned(), true),
        (format!("http://{own}"), false),
        ("https://evil.example".to_owned(), false),
        ("null".to_owned(), false),
    ] {
        let line = format!("origin: {origin}\r\n");
        let expected = if counts { "a.lab.example" } else { "" };
        assert_eq!(peer.name(&asking.server, &line).await, expected, "{origin}");
        let status = peer.status(&asking.server, "POST /api/v1/session", &line).await;
        // It is recognised, and has no token to sign in with; a page of another site changes nothing here.
        assert_eq!(status, if counts { 400 } else { 403 }, "{origin}");
        for path in ["/register_device", "/connect_client"] {
            let socket = peer.websocket(&asking.server, path, Some(&origin)).await;
            assert_eq!(socket.is_some(), counts, "{origin} {path}");
        }
    }
}

/// T20: who is not vouched for any more is closed, and not let in again by a session of TLS that began before.
#[tokio::test]
async fn t20_another_authority_closes_those_who_are_there_within_five_seconds() {
    let (old, new) = (Authority::new(), Authority::new());
    let asking = Asking::new("authority", &old, true);
    let (stays, goes) = (new.client("b.lab.example"), old.client("a.lab.example"));
    let mut device = goes.device(&asking.server, "a").await;
    assert_eq!(stays.status(&asking.server, WHOAMI, "").await, 0);
    let begun = Instant::now();
    asking.trust(&new);
    device.expect_taken_back().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(goes.status(&asking.server, WHOAMI, "").await, 0);
    assert_eq!(stays.status(&asking.server, WHOAMI, "").await, 200);
}

/// T20, T40: the same where a certificate is needed beside whatever else says who somebody is; here nothing does.
#[tokio::test]
async fn t20_certificate_that_is_needed_has_to_stay_good() {
    let (old, new) = (Authority::new(), Authority::new());
    let asking = Asking::with("needed", &old, true, |settings| {
        settings.access.access = needing(&old);
        settings.access.anonymous = true;
        settings.timeouts.ping = Duration::from_millis(100);
    });
    let (end, until) = from_now(Duration::from_secs(3));
    let (ends, stays) = (old.sign("a.lab.example", until), old.client("b.lab.example"));
    let (mut first, mut second) = (ends.device(&asking.server, "a").await, stays.device(&asking.server, "b").await);
    assert_eq!(ends.status(&asking.server, WHOAMI, "").await, 200);
    first.expect_taken_back().await;
    assert!(unix_now() >= end, "not before");
    let over = [("device_id", "a".into()), ("outcome", "expired".into())];
    asking.server.until_audited("credential", &over).await;
    // By a session of TLS that began before, or not at all.
    assert_ne!(ends.status(&asking.server, WHOAMI, "").await, 200);
    assert_eq!(stays.status(&asking.server, WHOAMI, "").await, 200);
    // Nothing but what is asked after the handshake. It counts for who was here before it was needed, and for proxies.
    asking.server.handle.set_access(needing(&new));
    second.expect_taken_back().await;
    let over = [("device_id", "b".into()), ("outcome", "revoked".into())];
    asking.server.until_audited("credential", &over).await;
    assert_eq!(stays.status(&asking.server, WHOAMI, "").await, 401);
}

/// A lease of who came with a token as well.
#[tokio::test]
async fn t20_lease_ends_with_the_certificate_that_is_needed() {
    let (old, new) = (Authority::new(), Authority::new());
    let token = NewToken::from_random(&[1; 32]);
    let fields = TokenFields { name: "ann", role: "device,client", devices: Some("*"), ..TokenFields::default() };
    let line = token.line(&fields).expect("a line");
    let asking = Asking::with("leased", &old, true, |settings| {
        settings.access.access = needing_with(&old, &line);
        settings.access.anonymous = true;
    });
    let (ann, device) = (old.client("ann"), old.client("device"));
    let bearer = format!("authorization: Bearer {}\r\n", token.secret());
    let mut devices = Vec::new();
    for id in ["x", "y", "z"] {
        devices.push(device.device(&asking.server, id).await);
    }
    let asked =
        async |what: &str| ann.status(&asking.server, &format!("{what} /api/v1/devices/x/lease"), &bearer).await;
    // A second passes, in which all leases are looked at.
    let second = async |id: &str| {
        let take = format!("POST /api/v1/devices/{id}/lease?ttl_ms=1000");
        assert_eq!(ann.status(&asking.server, &take, &bearer).await, 200);
        asking.server.until_audited("lease", &[("what", "over".into()), ("device_id", id.into())]).await;
    };
    assert_eq!(asked("POST").await, 200);
    second("y").await;
    // One that vouches for it now, and could not when the lease was taken, takes nothing back.
    asking.server.handle.set_access(needing_pem(&old.renewed(unix_now()), &line));
    second("z").await;
    assert_eq!(asked("GET").await, 200);
    asking.server.handle.set_access(needing_with(&new, &line));
    asking.server.until_audited("lease", &[("what", "taken_back".into()), ("whom", "token:ann".into())]).await;
}

/// A lease, and a connection, of who is known by a certificate alone, whose authority gets another certificate.
#[tokio::test]
async fn t20_lease_by_a_certificate_ends_when_nobody_vouches_any_more() {
    let (old, new) = (Authority::new(), Authority::new());
    let (first_end, first) = old.until(Duration::from_secs(4));
    let asking = Asking::with("lease-alone", &old, false, |settings| {
        settings.access.access = access(&first, "");
        settings.timeouts.ping = Duration::from_millis(200);
    });
    let ann = old.client("x.lab.example");
    let mut device = ann.device(&asking.server, "x").await;
    let ask = async |what: &str| ann.status(&asking.server, &format!("{what} /api/v1/devices/x/lease"), "").await;
    assert_eq!(ask("POST").await, 200);
    // It is over by itself: that takes no lease back.
    device.expect_taken_back().await;
    assert!(unix_now() > first_end);
    asking.server.until_audited("credential", &[("outcome", "expired".into())]).await;
    assert_eq!(ask("GET").await, 401);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // One that could not have vouched for it when the lease was taken.
    asking.server.handle.set_access(access(&old.renewed(unix_now()), ""));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ask("GET").await, 200, "it is there still");
    asking.server.handle.set_access(access(&new.pem(), ""));
    asking.server.until_audited("lease", &[("what", "taken_back".into()), ("device_id", "x".into())]).await;
}

/// It was good by two, of whom one is over by itself when the other is taken out.
#[tokio::test]
async fn t20_lease_ends_with_the_last_who_vouches() {
    let old = Authority::new();
    let (first_end, first) = old.until(Duration::from_secs(3));
    let both = first.clone() + &old.renewed(unix_now() - 60);
    let asking = Asking::with("last", &old, false, |settings| settings.access.access = access(&both, ""));
    let ann = old.client("x.lab.example");
    let mut device = ann.device(&asking.server, "x").await;
    assert_eq!(ann.status(&asking.server, "POST /api/v1/devices/x/lease", "").await, 200);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(unix_now() > first_end);
    assert_eq!(ann.status(&asking.server, "GET /api/v1/devices/x/lease", "").await, 200);
    asking.server.handle.set_access(access(&first, ""));
    device.expect_taken_back().await;
    asking.server.until_audited("lease", &[("what", "taken_back".into()), ("device_id", "x".into())]).await;
}

/// For a moment nobody vouched; who does after that counts as before.
#[tokio::test]
async fn t20_lease_after_a_moment_in_which_nobody_vouched_is_of_whoever_vouches_then() {
    let old = Authority::new();
    for is_taken_out in [true, false] {
        let (first_end, first) = old.until(Duration::from_secs(3));
        let asking = Asking::with("gap", &old, false, |settings| settings.access.access = access(&first, ""));
        let ann = old.client("x.lab.example");
        let _device = ann.device(&asking.server, "x").await;
        assert_eq!(ann.status(&asking.server, "POST /api/v1/devices/x/lease", "").await, 200);
        let second = Duration::from_secs(1);
        tokio::time::sleep(Duration::from_secs(first_end.saturating_sub(unix_now())) + 2 * second).await;
        assert!(unix_now() > first_end);
        let time = Duration::from_secs(if is_taken_out { 100 } else { 3 });
        let (second_end, next) = old.until(time);
        asking.server.handle.set_access(access(&(first.clone() + &next), ""));
        tokio::time::sleep(2 * second).await;
        assert_eq!(ann.status(&asking.server, "GET /api/v1/devices/x/lease", "").await, 200);
        if is_taken_out {
            asking.server.handle.set_access(access(&first, ""));
            asking.server.until_audited("lease", &[("what", "taken_back".into()), ("device_id", "x".into())]).await;
            continue;
        }
        // It is over by itself, and the first, which was over before, is cleaned out.
        tokio::time::sleep(Duration::from_secs(second_end.saturating_sub(unix_now())) + 2 * second).await;
        asking.server.handle.set_access(access(&next, ""));
        tokio::time::sleep(2 * second).await;
        asking.server.handle.set_access(access(&old.renewed(unix_now() - 60), ""));
        assert_eq!(ann.status(&asking.server, "GET /api/v1/devices/x/lease", "").await, 200, "it is there still");
    }
}

/// It may have been one certificate of many, before; and behind a proxy it is the proxy's.
#[tokio::test]
async fn t20_certificate_is_needed_of_who_was_there_before_and_of_proxies() {
    let (old, new) = (Authority::new(), Authority::new());
    let asking = Asking::with("later", &old, true, |settings| {
        settings.access.access = access(&old.pem(), "");
        settings.access.anonymous = true;
        settings.proxy = cuttlebone_server::ProxySettings {
            trusted: vec![cuttlebone_server::Network::new("127.0.0.1").expect("a network")],
            ..Default::default()
        };
    });
    let proxy = old.client("proxy");
    let mut device = proxy.device(&asking.server, "a").await;
    assert_eq!(proxy.status(&asking.server, WHOAMI, "x-forwarded-for: 192.0.2.7\r\n").await, 200);
    asking.server.handle.set_access(needing(&old));
    assert_eq!(proxy.status(&asking.server, WHOAMI, "x-forwarded-for: 192.0.2.7\r\n").await, 200);
    asking.server.handle.set_access(needing(&new));
    device.expect_taken_back().await;
    assert_eq!(proxy.status(&asking.server, WHOAMI, "x-forwarded-for: 192.0.2.7\r\n").await, 401);
}

/// The handshake did not ask for one then.
#[tokio::test]
async fn t20_who_showed_no_certificate_goes_when_one_is_needed() {
    let authority = Authority::new();
    let asking = Asking::with("none", &authority, false, |settings| settings.access.anonymous = true);
    let (nobody, peer) = (Identity::none(), authority.client("peer"));
    let mut bare = nobody.device(&asking.server, "a").await;
    let mut vouched = peer.device(&asking.server, "b").await;
    asking.server.handle.set_access(needing(&authority));
    bare.expect_taken_back().await;
    assert_eq!(nobody.status(&asking.server, WHOAMI, "").await, 401);
    assert_eq!(peer.status(&asking.server, WHOAMI, "").await, 200);
    peer.reach(&asking.server, "b", &mut vouched).await;
}

/// A certificate of the server that can't be used yet, or not at all, keeps nobody's verifier in force.
#[tokio::test]
async fn t41_who_vouches_for_clients_waits_for_no_certificate_of_the_server() {
    let (old, new) = (Authority::new(), Authority::new());
    let nonsense = ("nonsense".to_owned(), certificate_of(2020, 2049).1);
    for (name, pair) in [("late", certificate_of(2040, 2049)), ("bad", nonsense)] {
        let asking = Asking::with(name, &old, true, |settings| {
            settings.access.access = access(&old.pem(), "");
            settings.access.anonymous = true;
        });
        let (before, after) = (old.client("a.lab.example"), new.client("b.lab.example"));
        assert_eq!(before.status(&asking.server, WHOAMI, "").await, 200);
        let error = asking.trust_beside_a_bad_pair(&new, &pair);
        assert_eq!(matches!(error, TlsError::NotNow { .. }), name == "late", "{error}");
        assert_eq!(before.status(&asking.server, WHOAMI, "").await, 0, "{name}: the handshake fails");
        assert_ne!(after.status(&asking.server, WHOAMI, "").await, 0, "{name}");
        assert_eq!(Identity::none().status(&asking.server, WHOAMI, "").await, 0, "{name}");
    }
}

#[tokio::test]
async fn certificate_on_a_list_gets_no_connection() {
    let authority = Authority::new();
    for required in [false, true] {
        let asking = Asking::new(&format!("list-{required}"), &authority, required);
        let [bad, good] = [7_u64, 8].map(|serial| {
            authority.sign("a.lab.example", |params| params.serial_number = Some(SerialNumber::from(serial)))
        });
        for peer in [&bad, &good] {
            assert_eq!(peer.status(&asking.server, WHOAMI, "").await, 200, "nothing is revoked yet");
        }
        asking.refuse_in_the_handshake(&authority.revoking(&[7]));
        assert_eq!(bad.status(&asking.server, WHOAMI, "").await, 0);
        assert_eq!(good.status(&asking.server, WHOAMI, "").await, 200);
    }
}

/// T40: a certificate that ends closes the session.
#[tokio::test]
async fn t40_end_of_the_certificate_closes_the_session() {
    let authority = Authority::new();
    let asking = Asking::with("end", &authority, false, |settings| {
        settings.timeouts.ping = Duration::from_millis(100);
    });
    let (end, until) = from_now(Duration::from_secs(3));
    let peer = authority.sign("a.lab.example", until);
    let mut device = peer.device(&asking.server, "a").await;
    let answer = peer.ask(&asking.server, WHOAMI, "").await.expect("an answer");
    assert!(answer.contains(&format!(r#""expires_at":{end}"#)), "{answer}");
    device.expect_taken_back().await;
    assert!(unix_now() > end, "not before");
    assert_ne!(peer.status(&asking.server, WHOAMI, "").await, 200);
}
