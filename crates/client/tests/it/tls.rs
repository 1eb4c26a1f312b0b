use cuttlebone_client::{Endpoint, Trust, raw};
use rustls::crypto::ring;

use crate::fake::FakeServer;

struct Certificate {
    der: Vec<u8>,
    pem: String,
    config: rustls::ServerConfig,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let chain = vec![made.cert.der().clone()];
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

/// Nobody has to have signed them, and there are as many ways through a crowd as it has orders.
#[tokio::test]
async fn crowd_of_certificates_is_not_looked_through() {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "anybody");
    let key = || rcgen::KeyPair::generate().unwrap();
    let crowd: Vec<_> = (0..11).map(|_| rcgen::CertifiedIssuer::self_signed(params.clone(), key()).unwrap()).collect();
    let own = key();
    let leaf = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&own, &crowd[0]).unwrap();
    let chain = [leaf.der().clone()].into_iter().chain(crowd.iter().map(|issuer| issuer.der().clone())).collect();
    let config = rustls::ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, rustls::pki_types::PrivatePkcs8KeyDer::from(own.serialize_der()).into())
        .unwrap();
    let begun = std::time::Instant::now();
    assert!(!is_believed(config, Trust::Pem(certificate().pem)).await);
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
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
