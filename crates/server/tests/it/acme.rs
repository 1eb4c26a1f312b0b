//! A certificate from an authority: Pebble. What Pebble never says, another says in its place ([`mad`]).

mod mad;
mod pebble;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use cuttlebone_server::{AcmeChallenge, BindError, ClientSettings, ExternalAccount, Server, Settings, TlsSettings};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::client_certificates::support::{Authority, Identity};
use crate::support::{Running, get, request};
use mad::{MadAuthority, Madness};
use pebble::{NAME, Pebble};

const ISSUED: &str = r#"cuttlebone_acme_orders_total{outcome="issued"}"#;
const FAILED: &str = r#"cuttlebone_acme_orders_total{outcome="failed"}"#;
const LOADED: &str = r#"cuttlebone_certificate_loads_total{outcome="changed"}"#;
const NOT_LOADED: &str = r#"cuttlebone_certificate_loads_total{outcome="failed"}"#;

/// What a browser is shown, if a handshake comes about.
async fn certificate(server: &Running) -> Option<CertificateDer<'static>> {
    let stream = Identity::none().connect(server).await.ok()?;
    let shown = stream.get_ref().1.peer_certificates()?;
    Some(shown.first()?.clone().into_owned())
}

fn has_name(certificate: &CertificateDer<'_>) -> bool {
    certificate.windows(NAME.len()).any(|bytes| bytes == NAME.as_bytes())
}

/// Starts without a certificate, gets one, and starts again with it while nobody can be asked.
async fn issue(challenge: AcmeChallenge) {
    let mut pebble = Pebble::new(&format!("{challenge:?}"));
    let server = Running::with(|settings| pebble.configure(settings, challenge));
    assert!(certificate(&server).await.is_none(), "there is none yet");
    let ready = get(server.metrics, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("no_certificate"), "{}", ready.text());
    server.until_metric(FAILED, |count| count > 0).await;
    pebble.start().await;
    server.until_metric(ISSUED, |count| count == 1).await;
    let shown = certificate(&server).await.expect("a handshake");
    assert!(has_name(&shown));
    assert_eq!(get(server.metrics, "/readyz").await.status, 200);
    assert!(server.metric("cuttlebone_certificate_end_seconds").await > 0);
    for file in ["acme.pem", "acme-account.json"] {
        assert_eq!(fs::metadata(pebble.state(file)).expect("kept").permissions().mode() & 0o777, 0o600, "{file}");
    }
    pebble.stop();
    server.stop();
    server.ended().await;
    let again = Running::with(|settings| pebble.configure(settings, challenge));
    assert_eq!(get(again.metrics, "/readyz").await.status, 200);
    assert_eq!(certificate(&again).await.as_ref(), Some(&shown));
    assert_eq!((again.metric(ISSUED).await, again.metric(FAILED).await), (0, 0), "nobody was asked");
    let plain = again.redirect.expect("it listens");
    let none = request(plain, "GET /.well-known/acme-challenge/x HTTP/1.1\r\nhost: signal.example.org\r\n\r\n").await;
    assert_eq!(none.status, 404);
    assert!(Identity::offering(b"acme-tls/1").connect(&again).await.is_err(), "there is no challenge");
}

#[tokio::test]
async fn certificate_is_issued_by_http_01_and_kept() {
    issue(AcmeChallenge::Http01).await;
}

#[tokio::test]
async fn certificate_is_issued_by_tls_alpn_01_and_kept() {
    issue(AcmeChallenge::TlsAlpn01).await;
}

/// The lives of these certificates are of seconds. The authority forgets the account in between.
#[tokio::test]
async fn certificate_is_replaced_before_it_ends_and_connections_go_on() {
    let mut pebble = Pebble::new("renewal");
    pebble.config["certificateValidityPeriod"] = 6.into();
    pebble.start().await;
    let server = Running::with(|settings| pebble.configure(settings, AcmeChallenge::TlsAlpn01));
    server.until_metric(ISSUED, |count| count == 1).await;
    let first = certificate(&server).await.expect("a handshake");
    let mut device = Identity::none().device(&server, "d").await;
    pebble.start().await;
    server.until_metric(ISSUED, |count| count >= 2).await;
    let second = certificate(&server).await.expect("a handshake");
    assert!(first != second && has_name(&second));
    let mut client = Identity::none().websocket(&server, "/connect_client", None).await.expect("upgraded");
    client.send(r#"{"message_type":"connect","device_id":"d"}"#).await;
    client.expect("config").await;
    client.expect("device_info").await;
    client.send(r#"{"message_type":"forward","payload":1}"#).await;
    device.expect("client_msg").await;
}

#[tokio::test]
async fn what_the_authority_does_not_take_is_tried_again_and_the_kept_certificate_stays() {
    let mut pebble = Pebble::new("failure");
    pebble.start().await;
    let server = Running::with(|settings| pebble.configure(settings, AcmeChallenge::Http01));
    server.until_metric(ISSUED, |count| count == 1).await;
    let first = certificate(&server).await.expect("a handshake");
    server.stop();
    server.ended().await;
    // Its name is another now, and the authority looks for the file where nobody is.
    pebble.config["httpPort"] = 1.into();
    pebble.start().await;
    let server = Running::with(|settings| {
        pebble.configure(settings, AcmeChallenge::Http01);
        settings.acme.as_mut().expect("it is set").domains.push("other.example.org".to_owned());
    });
    server.until_metric(FAILED, |count| count >= 2).await;
    assert_eq!(server.metric(ISSUED).await, 0);
    assert_eq!(certificate(&server).await, Some(first), "it is better than none");
    assert_eq!(get(server.metrics, "/readyz").await.status, 200);
}

/// A certificate that is good and due.
async fn due(test: &str) -> Pebble {
    let mut pebble = Pebble::new(test);
    pebble.start().await;
    let server = Running::with(|settings| pebble.configure(settings, AcmeChallenge::TlsAlpn01));
    server.until_metric(ISSUED, |count| count == 1).await;
    pebble.stop();
    server.stop();
    server.ended().await;
    pebble
}

/// Only the names are others, so that it is asked for one at once.
fn configure_mad(settings: &mut Settings, pebble: &Pebble, mad: &MadAuthority) {
    pebble.configure(settings, AcmeChallenge::TlsAlpn01);
    mad.configure(settings);
    settings.acme.as_mut().expect("it is set").domains.push("other.example.org".to_owned());
}

#[tokio::test]
async fn what_was_issued_and_can_not_be_used_takes_the_place_of_none() {
    let of_another_key =
        rcgen::generate_simple_self_signed(["signal.example.org".to_owned()]).expect("made").cert.pem();
    for (name, issued) in [("nonsense", "<html>maintenance</html>".to_owned()), ("another-key", of_another_key)] {
        let pebble = due(name).await;
        let before = fs::read(pebble.state("acme.pem")).expect("kept");
        let mad = MadAuthority::start(Madness::Issues(issued)).await;
        let server = Running::with(|settings| configure_mad(settings, &pebble, &mad));
        server.until_metric(FAILED, |count| count >= 2).await;
        assert_eq!(server.metric(ISSUED).await, 0, "{name}");
        assert!(has_name(&certificate(&server).await.expect("a handshake")), "{name}");
        assert_eq!(fs::read(pebble.state("acme.pem")).expect("kept"), before, "{name}");
        let files = fs::read_dir(pebble.state("")).expect("there").count();
        assert!(files <= 3, "{name}: nothing of it is left: {files} files");
    }
}

/// It ends the library that is used, and not what uses it.
#[tokio::test]
async fn authority_that_asks_for_patience_without_end_is_tried_again() {
    let pebble = due("retry-after").await;
    let mad = MadAuthority::start(Madness::RetryAfter("18446744073709551615")).await;
    let server = Running::with(|settings| configure_mad(settings, &pebble, &mad));
    server.until_metric(FAILED, |count| count >= 2).await;
    assert!(mad.orders() >= 2);
    assert!(server.metric("cuttlebone_panics_total").await >= 2);
    assert!(certificate(&server).await.is_some());
}

#[tokio::test]
async fn authority_that_asks_for_an_account_of_its_own_gets_it() {
    let mut pebble = Pebble::new("external");
    pebble.config["externalAccountBindingRequired"] = true.into();
    // Base64url of 32 bytes of 'k'.
    pebble.config["externalAccountMACKeys"] =
        serde_json::json!({"kid-1": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s"});
    pebble.start().await;
    let server = Running::with(|settings| pebble.configure(settings, AcmeChallenge::TlsAlpn01));
    server.until_metric(FAILED, |count| count >= 1).await;
    server.stop();
    server.ended().await;
    let server = Running::with(|settings| {
        pebble.configure(settings, AcmeChallenge::TlsAlpn01);
        let account = ExternalAccount { kid: "kid-1".to_owned(), hmac: vec![b'k'; 32] };
        settings.acme.as_mut().expect("it is set").external_account = Some(account);
    });
    server.until_metric(ISSUED, |count| count == 1).await;
}

#[tokio::test]
async fn kept_file_that_can_not_be_used_is_replaced() {
    let mut pebble = Pebble::new("broken");
    pebble.start().await;
    fs::create_dir_all(pebble.state("")).expect("makes");
    fs::write(pebble.state("acme.pem"), "nonsense").expect("writes");
    fs::write(pebble.state("acme-account.json"), "nonsense").expect("writes");
    let server = Running::with(|settings| pebble.configure(settings, AcmeChallenge::TlsAlpn01));
    server.until_metric(ISSUED, |count| count == 1).await;
    assert!(has_name(&certificate(&server).await.expect("a handshake")));
}

/// Authorities of clients in a file of this test.
fn vouching(pebble: &Pebble, file: &str, pem: &str) -> ClientSettings {
    fs::create_dir_all(pebble.state("")).expect("makes");
    fs::write(pebble.state(file), pem).expect("writes");
    ClientSettings { ca_file: pebble.state(file), crl_file: None, required: true }
}

fn kept(pebble: &Pebble) -> TlsSettings {
    TlsSettings::Kept { file: pebble.state("acme.pem") }
}

/// The status is 0 for whoever has no certificate that is vouched for.
async fn is_vouched_for(server: &Running, authority: &Authority) -> bool {
    authority.client("a.lab.example").status(server, "GET /livez", "").await == 200
}

#[tokio::test]
async fn renewal_keeps_the_authorities_of_clients_of_the_last_reload() {
    let mut pebble = Pebble::new("clients");
    let (old, new) = (Authority::new(), Authority::new());
    let (before, after) = (vouching(&pebble, "old.pem", &old.pem()), vouching(&pebble, "new.pem", &new.pem()));
    let server = Running::with(|settings| {
        pebble.configure(settings, AcmeChallenge::TlsAlpn01);
        settings.https.clients = Some(before);
    });
    assert!(!server.handle.reload_tls(&kept(&pebble), Some(&after)).expect("good"), "there is no certificate yet");
    let missing = ClientSettings { ca_file: pebble.state("missing.pem"), ..after };
    server.handle.reload_tls(&kept(&pebble), Some(&missing)).expect_err("it is not there");
    pebble.start().await;
    server.until_metric(ISSUED, |count| count == 1).await;
    assert!(is_vouched_for(&server, &new).await && !is_vouched_for(&server, &old).await);
}

#[tokio::test]
async fn certificate_that_was_issued_and_could_not_be_taken_is_not_ordered_again() {
    let mut pebble = Pebble::new("taken");
    let authority = Authority::new();
    let clients = vouching(&pebble, "ca.pem", &authority.pem());
    pebble.start().await;
    let server = Running::with(|settings| pebble.configure(settings, AcmeChallenge::TlsAlpn01));
    server.until_metric(ISSUED, |count| count == 1).await;
    server.stop();
    server.ended().await;
    pebble.stop();
    fs::rename(pebble.state("acme.pem"), pebble.state("aside.pem")).expect("moves");
    let server = Running::with(|settings| {
        pebble.configure(settings, AcmeChallenge::TlsAlpn01);
        settings.https.clients = Some(clients.clone());
    });
    server.until_metric(FAILED, |count| count > 0).await;
    // What is issued from now on can't be taken.
    fs::write(&clients.ca_file, "nonsense").expect("writes");
    server.until_metric(NOT_LOADED, |count| count > 0).await;
    let orders = server.metric(FAILED).await;
    fs::rename(pebble.state("aside.pem"), pebble.state("acme.pem")).expect("moves");
    pebble.start().await;
    let loads = server.metric(NOT_LOADED).await;
    server.until_metric(NOT_LOADED, |count| count >= loads + 2).await;
    fs::write(&clients.ca_file, authority.pem()).expect("writes");
    server.until_metric(LOADED, |count| count == 1).await;
    assert!(is_vouched_for(&server, &authority).await);
    assert_eq!((server.metric(ISSUED).await, server.metric(FAILED).await), (0, orders), "nobody was asked");
}

#[tokio::test]
async fn kept_certificate_is_not_unusable_because_of_the_authorities_of_clients() {
    let pebble = Pebble::new("authorities");
    for pem in ["nonsense", ""] {
        let mut settings = Settings::default();
        pebble.configure(&mut settings, AcmeChallenge::TlsAlpn01);
        settings.https.clients = Some(vouching(&pebble, "ca.pem", pem));
        if pem.is_empty() {
            fs::remove_file(pebble.state("ca.pem")).expect("removes");
        }
        let error = Server::bind(settings).err().expect("refused");
        assert!(matches!(error, BindError::Tls(_)) && error.to_string().contains("ca.pem"), "{error}");
    }
}
