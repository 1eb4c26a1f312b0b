use cuttlebone_client::{Endpoint, Trust, raw};
use rustls::crypto::ring;

use crate::fake::FakeServer;

struct Certificate {
    der: Vec<u8>,
    pem: String,
    config: rustls::ServerConfig,
}

fn certificate() -> Certificate {
    certificate_with(0)
}

/// One that so many others are sent along with, which have nothing to do with it.
fn certificate_with(number: usize) -> Certificate {
    let make = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let made = make();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let chain = [made.cert.der().clone()].into_iter().chain((0..number).map(|_| make().cert.der().clone())).collect();
    let config = rustls::ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    Certificate { der: made.cert.der().to_vec(), pem: made.cert.pem(), config }
}

fn sha256(data: &[u8]) -> [u8; 32] {
    let rustls::SupportedCipherSuite::Tls13(suite) = ring::cipher_suite::TLS13_AES_128_GCM_SHA256 else {
        panic!("not a suite of TLS 1.3");
    };
    suite.common.hash_provider.hash(data).as_ref().try_into().unwrap()
}

/// Connects with `trust` to a server with `config`, and says whether a message arrived.
async fn is_believed(config: rustls::ServerConfig, trust: Trust) -> bool {
    let server = FakeServer::start().await.with_tls(config);
    let endpoint = Endpoint::parse(&format!("https://{}", server.address())).unwrap().with_trust(trust).unwrap();
    let client = async {
        let mut conn = raw::connect(&endpoint, "/x", &[]).await.ok()?;
        conn.send_text("secret").await.ok()
    };
    let (sent, peer) = tokio::join!(client, server.try_accept());
    match peer {
        Some(mut peer) => peer.text().await == "secret" && sent.is_some(),
        None => false,
    }
}

#[tokio::test]
async fn the_certificate_of_the_fingerprint_is_believed() {
    let certificate = certificate();
    let pin = Trust::Fingerprint(sha256(&certificate.der));
    assert!(is_believed(certificate.config, pin).await);
}

/// The library looks for a way through all that a server sends, in every order: of a dozen that could follow each other, for a second.
#[tokio::test]
async fn server_may_send_six_certificates_beside_its_own() {
    for (number, expected) in [(6, true), (7, false)] {
        let certificate = certificate_with(number);
        assert_eq!(is_believed(certificate.config, Trust::Pem(certificate.pem)).await, expected, "{number}");
    }
}

#[tokio::test]
async fn another_certificate_is_not() {
    let pin = Trust::Fingerprint(sha256(&certificate().der));
    assert!(!is_believed(certificate().config, pin).await);
}

#[tokio::test]
async fn a_root_of_the_pem_text_is_believed() {
    let certificate = certificate();
    let pem = Trust::Pem(certificate.pem);
    assert!(is_believed(certificate.config, pem).await);
}

#[tokio::test]
async fn a_self_signed_certificate_is_not_believed_by_itself() {
    assert!(!is_believed(certificate().config, Trust::WebPki).await);
    assert!(is_believed(certificate().config, Trust::Insecure).await);
}
