//! The same over TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cuttlebone_client::{Endpoint, Trust, raw};
use cuttlebone_server::TlsSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::support::{Peer, Running, expect_type};

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cuttlebone-server-{name}-{}", std::process::id()));
        Self(path)
    }

    fn tls(&self) -> Option<TlsSettings> {
        Some(TlsSettings::SelfSigned { state_dir: self.0.clone(), names: Vec::new() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fingerprint(text: &str) -> [u8; 32] {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
    bytes.try_into().expect("32 bytes")
}

#[tokio::test]
async fn device_registers_over_tls_and_pins_the_certificate() {
    let folder = Folder::new("pin");
    let server = Running::with(|settings| settings.tls = folder.tls());
    let shown = server.fingerprint.clone().expect("there is a certificate");
    let trust = Trust::Fingerprint(fingerprint(&shown));
    let endpoint =
        Endpoint::parse(&format!("wss://{}", server.addr)).and_then(|it| it.with_trust(trust)).expect("good");
    let mut device = raw::connect(&endpoint, "/register_device", &[]).await.expect("upgraded");
    device.send_text(r#"{"message_type":"register","device_id":"d"}"#).await.expect("sent");
    expect_type(&mut device, "config").await;
    assert_eq!(server.metric("cuttlebone_devices").await, 1);
}

#[tokio::test]
async fn device_of_the_field_that_says_http_over_tls_is_taken_and_a_page_that_does_is_not() {
    let folder = Folder::new("origin");
    let server = Running::with(|settings| settings.tls = folder.tls());
    let trust = Trust::Fingerprint(fingerprint(server.fingerprint.as_deref().expect("there is a certificate")));
    let endpoint =
        Endpoint::parse(&format!("wss://{}", server.addr)).and_then(|it| it.with_trust(trust)).expect("good");
    for (path, status) in [("/register_device", "101"), ("/connect_client", "403")] {
        let mut stream = raw::Stream::open(&endpoint).await.expect("connects");
        // As libwebsockets writes it for the device of Cuttlefish: the name without the port, in both.
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: http://127.0.0.1\r\nupgrade: websocket\r\n\
             connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: webrtc-operator\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes(), "{path}");
    }
}

#[tokio::test]
async fn half_a_client_hello_is_waited_for_until_the_deadline() {
    let folder = Folder::new("half");
    let server = Running::with(|settings| {
        settings.tls = folder.tls();
        settings.timeouts.handshake = Duration::from_millis(200);
    });
    let mut peer = Peer::connect(server.addr).await;
    peer.socket.write_all(&[0x16]).await.expect("sent");
    assert!(peer.is_closed().await);
    server.until_metric(r#"cuttlebone_timeouts_total{which="handshake"}"#, |count| count == 1).await;
}

/// Connects to `server` now and passes bytes on only after `delay`.
async fn hesitant_proxy(server: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let address = listener.local_addr().expect("bound");
    TaskTracker::new().spawn(async move {
        let mut outside = TcpStream::connect(server).await.expect("accepted");
        let (mut inside, _) = listener.accept().await.expect("accepted");
        tokio::time::sleep(delay).await;
        let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
    });
    address
}

#[tokio::test]
async fn handshake_and_first_request_share_one_deadline() {
    let limit = Duration::from_secs(1);
    let folder = Folder::new("shared");
    let server = Running::with(|settings| {
        settings.tls = folder.tls();
        settings.timeouts.handshake = limit;
    });
    let begun = Instant::now();
    let proxy = hesitant_proxy(server.addr, limit / 10 * 7).await;
    let endpoint = Endpoint::parse(&format!("wss://{proxy}")).and_then(|it| it.with_trust(Trust::Insecure));
    let mut stream = raw::Stream::open(&endpoint.expect("good")).await.expect("TLS came about");
    let _ = stream.read(&mut [0]).await;
    let took = begun.elapsed();
    // With a time of its own for the request it would be 1.7 s.
    assert!(took >= limit && took < limit / 10 * 15, "{took:?}");
    server.until_metric(r#"cuttlebone_timeouts_total{which="handshake"}"#, |count| count == 1).await;
}

#[tokio::test]
async fn plain_http_on_a_tls_port_gets_no_page() {
    let folder = Folder::new("plain");
    let server = Running::with(|settings| settings.tls = folder.tls());
    let mut peer = Peer::connect(server.addr).await;
    peer.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(peer.drain().await < 16, "an alert at most");
}

#[tokio::test]
async fn one_too_many_costs_no_handshake() {
    let folder = Folder::new("full");
    let server = Running::with(|settings| {
        settings.tls = folder.tls();
        settings.connections.max = 1;
    });
    let _held = Peer::connect(server.addr).await;
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open >= 2).await;
    assert!(Peer::connect(server.addr).await.is_closed().await);
}
