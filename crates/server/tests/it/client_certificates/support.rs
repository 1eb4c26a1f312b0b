//! Authorities that are made for one test, what they sign, and peers that show it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cuttlebone_access::{Access, CertificateRule, CertificateTrust, Certificates, NameKind, Role, Roles, StaticTokens};
use cuttlebone_client::ClientCertificate;
use cuttlebone_server::{ClientSettings, Settings, TlsError};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use crate::certificates::Pair;
use crate::support::{PATIENCE, Running};

/// Vouches for clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    /// The PEM of another certificate of it, which is good from then on, in seconds since 1970.
    pub(crate) fn renewed(&self, from: u64) -> String {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(from);
        params.self_signed(self.0.key()).expect("signed").pem()
    }

    /// The PEM of another certificate of it that is good for so long, and its last second since 1970.
    pub(crate) fn until(&self, time: Duration) -> (u64, String) {
        let (end, until) = from_now(time);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        until(&mut params);
        (end, params.self_signed(self.0.key()).expect("signed").pem())
    }

    /// A peer with a certificate of that name, changed as wanted.
    pub(crate) fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        Identity::new(Some((vec![certificate.der().clone()], key)))
    }

    /// One that is good, and sends so many others along that have nothing to do with it.
    pub(crate) fn padded(&self, number: usize) -> Identity {
        self.beside((0..number).map(|number| Self::called(&number.to_string())))
    }

    /// The same with two of one name.
    pub(crate) fn namesakes(&self) -> Identity {
        self.beside([Self::called("one"), Self::called("other"), Self::called("one")])
    }

    fn called(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::OrganizationName, name);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().clone()
    }

    /// The same with one other, of a little more than so many bytes.
    pub(crate) fn bulky(&self, bytes: usize) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "x".repeat(bytes / 2));
        let other = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
        self.beside([other.der().clone()])
    }

    fn beside(&self, others: impl IntoIterator<Item = CertificateDer<'static>>) -> Identity {
        let mut params = CertificateParams::new(["a.lab.example".to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.0).expect("signed");
        let chain = [leaf.der().clone()].into_iter().chain(others).collect();
        Identity::new(Some((chain, PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))))
    }

    /// The same for our SDK.
    pub(crate) fn certificate(&self, name: &str) -> ClientCertificate {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        ClientCertificate::from_pem(&certificate.pem(), &key.serialize_pem()).expect("a pair")
    }

    /// One that is good.
    pub(crate) fn client(&self, name: &str) -> Identity {
        self.sign(name, |_| ())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// The list of those that it takes back.
    pub(crate) fn revoking(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2045, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).expect("signed").pem().expect("PEM")
    }
}

/// In so long, to the second.
pub(crate) fn from_now(time: Duration) -> (u64, impl FnOnce(&mut CertificateParams)) {
    let end = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970") + time;
    (end.as_secs(), move |params: &mut CertificateParams| {
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end.as_secs());
    })
}

pub(crate) fn unix_now() -> u64 {
    UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

/// A server that asks for certificates, and its files.
pub(crate) struct Asking {
    pub(crate) server: Running,
    pair: Pair,
    ca_file: PathBuf,
    required: bool,
}

impl Asking {
    /// Each name below lab.example is a device and a client of all.
    pub(crate) fn new(name: &str, authority: &Authority, required: bool) -> Self {
        Self::with(name, authority, required, |_| ())
    }

    pub(crate) fn with(name: &str, authority: &Authority, required: bool, change: impl FnOnce(&mut Settings)) -> Self {
        let pair = Pair::new(name);
        let ca_file = pair.folder().join("ca.pem");
        fs::write(&ca_file, authority.pem()).expect("writes");
        let server = Running::with(|settings| {
            settings.tls = Some(pair.settings());
            settings.https.clients = Some(ClientSettings { ca_file: ca_file.clone(), crl_file: None, required });
            settings.access.access = access(&authority.pem(), "");
            settings.access.anonymous = false;
            change(settings);
        });
        Self { server, pair, ca_file, required }
    }

    /// Another authority vouches from now on.
    pub(crate) fn trust(&self, authority: &Authority) {
        fs::write(&self.ca_file, authority.pem()).expect("writes");
        let clients = self.clients(None);
        self.server.handle.set_access(access(&authority.pem(), ""));
        assert!(self.server.handle.reload_tls(&self.pair.settings(), Some(&clients)).expect("good"));
    }

    /// The same, where the server's own certificate can't be used.
    pub(crate) fn trust_beside_a_bad_pair(&self, authority: &Authority, pair: &(String, String)) -> TlsError {
        fs::write(&self.ca_file, authority.pem()).expect("writes");
        self.pair.write(pair);
        let clients = self.clients(None);
        self.server.handle.reload_tls(&self.pair.settings(), Some(&clients)).expect_err("they are bad")
    }

    /// This list counts from now on, in the handshake alone: who recognises certificates has none.
    pub(crate) fn refuse_in_the_handshake(&self, list: &str) {
        let crl_file = self.pair.folder().join("crl.pem");
        fs::write(&crl_file, list).expect("writes");
        let clients = self.clients(Some(crl_file));
        assert!(self.server.handle.reload_tls(&self.pair.settings(), Some(&clients)).expect("good"));
    }

    fn clients(&self, crl_file: Option<PathBuf>) -> ClientSettings {
        ClientSettings { ca_file: self.ca_file.clone(), crl_file, required: self.required }
    }
}

/// Recognises what the authority signs, and the tokens of these lines.
pub(crate) fn access(authority: &str, tokens: &str) -> Arc<Access> {
    let trust = CertificateTrust::new(authority).expect("an authority");
    let rule = CertificateRule {
        kind: NameKind::Dns,
        name: "*.lab.example".parse().expect("a pattern"),
        roles: Roles::NONE.with(Role::Device).with(Role::Client),
        devices: Some(vec!["{*}".to_owned()]),
        tenant: None,
    };
    let certificates = Some(Certificates::new(trust, vec![rule]).expect("a rule"));
    let tokens = Some(StaticTokens::parse(tokens).expect("lines"));
    Arc::new(Access::new(cuttlebone_access::Settings { certificates, tokens, ..Default::default() }))
}

/// Recognises nobody by certificate, and needs one of that authority for each connection.
pub(crate) fn needing(authority: &Authority) -> Arc<Access> {
    needing_with(authority, "")
}

/// The same, and the tokens of these lines.
pub(crate) fn needing_with(authority: &Authority, tokens: &str) -> Arc<Access> {
    needing_pem(&authority.pem(), tokens)
}

/// The same, of the authorities in a file.
pub(crate) fn needing_pem(authorities: &str, tokens: &str) -> Arc<Access> {
    let required = Some(CertificateTrust::new(authorities).expect("an authority"));
    let tokens = Some(StaticTokens::parse(tokens).expect("lines"));
    Arc::new(Access::new(cuttlebone_access::Settings { required, tokens, ..Default::default() }))
}

/// A peer with a certificate, or without. It resumes sessions of TLS where it can.
pub(crate) struct Identity(TlsConnector);

impl Identity {
    pub(crate) fn none() -> Self {
        Self::new(None)
    }

    /// Without one, that speaks nothing but this protocol.
    pub(crate) fn offering(protocol: &[u8]) -> Self {
        Self::with(None, protocol)
    }

    fn new(shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>) -> Self {
        Self::with(shown, b"http/1.1")
    }

    fn with(shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, protocol: &[u8]) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
        let mut config = match shown {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).expect("a pair"),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Self(TlsConnector::from(Arc::new(config)))
    }

    pub(crate) async fn connect(&self, server: &Running) -> io::Result<TlsStream<TcpStream>> {
        self.connect_on(TcpStream::connect(server.addr).await?).await
    }

    pub(crate) async fn connect_on(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.connect(ServerName::try_from("localhost").expect("a name"), tcp).await
    }

    /// The whole answer to a request with these lines; an error if the handshake fails, which TLS 1.3 tells of when reading.
    pub(crate) async fn ask(&self, server: &Running, request: &str, lines: &str) -> io::Result<String> {
        let mut stream = self.connect(server).await?;
        let host = server.addr;
        let text = format!("{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{lines}\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time")?;
        Ok(answer)
    }

    /// The status of the answer; 0 if the handshake fails.
    pub(crate) async fn status(&self, server: &Running, request: &str, lines: &str) -> u16 {
        let answer = self.ask(server, request, lines).await.unwrap_or_default();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// Whom the server takes it for, with these lines.
    pub(crate) async fn name(&self, server: &Running, lines: &str) -> String {
        let answer = self.ask(server, "GET /api/v1/whoami", lines).await.unwrap_or_default();
        let name = answer.split(r#""name":""#).nth(1).and_then(|rest| rest.split('"').next());
        name.unwrap_or_default().to_owned()
    }

    pub(crate) async fn websocket(&self, server: &Running, path: &str, origin: Option<&str>) -> Option<Socket> {
        let stream = self.connect(server).await.ok()?;
        let mut builder = ClientBuilder::new().uri(&format!("wss://{}{path}", server.addr)).expect("an address");
        if let Some(origin) = origin {
            let origin = HeaderValue::from_str(origin).expect("a value");
            builder = builder.add_header(HeaderName::from_static("origin"), origin).expect("allowed");
        }
        builder.connect_on(stream).await.ok().map(|(socket, _)| Socket(socket))
    }

    /// Connects to a device, and is heard there.
    pub(crate) async fn reach(&self, server: &Running, id: &str, device: &mut Socket) {
        let mut client = self.websocket(server, "/connect_client", None).await.expect("upgraded");
        client.send(&format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#)).await;
        client.expect("config").await;
        client.expect("device_info").await;
        client.send(r#"{"message_type":"forward","payload":1}"#).await;
        device.expect("client_msg").await;
    }

    /// A device that is registered.
    pub(crate) async fn device(&self, server: &Running, id: &str) -> Socket {
        let mut device = self.websocket(server, "/register_device", None).await.expect("upgraded");
        device.send(&format!(r#"{{"message_type":"register","device_id":"{id}","device_info":1}}"#)).await;
        device.expect("config").await;
        device
    }
}

/// A WebSocket.
pub(crate) struct Socket(WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text.to_owned())).await.expect("sent");
    }

    async fn next(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.0.next()).await.expect("in time").and_then(Result::ok)
    }

    /// The next message must be of this type.
    pub(crate) async fn expect(&mut self, message_type: &str) {
        let message = self.next().await.expect("a message");
        let text = message.as_text().unwrap_or_default();
        assert!(text.contains(&format!(r#""message_type":"{message_type}""#)), "{text}");
    }

    /// The server says that what it came with is not good any more, and closes.
    pub(crate) async fn expect_taken_back(&mut self) {
        // In all: it is pinged meanwhile.
        let (error, code) = timeout(PATIENCE, self.close()).await.expect("in time");
        assert!(error.contains("credential_expired") && code == 4003, "{error} {code}");
    }

    /// Reads until the close; the text before it and its code.
    pub(crate) async fn close(&mut self) -> (String, u16) {
        let mut before = String::new();
        loop {
            let message = self.next().await.expect("a close frame");
            match message.as_close() {
                Some((code, _)) => return (before, code.into()),
                None => before = message.as_text().unwrap_or_default().to_owned(),
            }
        }
    }
}

/// Which server it is does not matter here.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
