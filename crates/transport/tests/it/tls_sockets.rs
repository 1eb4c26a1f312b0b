use std::io;
use std::sync::Arc;

use cuttlebone_proto::CloseCode;
use cuttlebone_transport::tls::{Tls, TlsSettings};
use cuttlebone_transport::ws::WsConn;
use cuttlebone_transport::{BadHeader, Conn, ConnExt, Incoming, Listener, Outgoing, Stream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_websockets::Message;

use crate::peer::{SETTINGS, client};
use crate::tls_files::empty_dir;

struct Server {
    listener: Listener,
    cert: CertificateDer<'static>,
}

impl Server {
    fn new(test: &str) -> Self {
        let dir = empty_dir(test);
        let names = vec!["cuttlebone.lan".to_owned()];
        let tls: Tls = TlsSettings::SelfSigned { state_dir: dir.clone(), names }.load().unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Some(&tls)).unwrap();
        Self { listener, cert: CertificateDer::from_pem_file(dir.join("self-signed.pem")).unwrap() }
    }

    /// Connects with TLS of one version, to a name, offering a protocol.
    async fn connect(
        &self,
        version: &'static SupportedProtocolVersion,
        name: &'static str,
        alpn: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.listener.local_addr()?).await?;
        TlsConnector::from(self.config(version, alpn)).connect(ServerName::try_from(name).unwrap(), tcp).await
    }

    fn config(&self, version: &'static SupportedProtocolVersion, alpn: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }

    /// With what a proxy has sent before, if anything.
    async fn connect_behind(&self, header: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let mut tcp = TcpStream::connect(self.listener.local_addr()?).await?;
        tcp.write_all(header).await?;
        let config = self.config(&rustls::version::TLS13, b"http/1.1");
        TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), tcp).await
    }

    async fn accept(&self) -> io::Result<Stream> {
        self.listener.accept().await?.handshake().await
    }

    /// Both ends of a connection.
    async fn pair(&self, version: &'static SupportedProtocolVersion) -> (Stream, TlsStream<TcpStream>) {
        let (stream, peer) = tokio::join!(self.accept(), self.connect(version, "localhost", b"http/1.1"));
        (stream.unwrap(), peer.unwrap())
    }
}

#[tokio::test]
async fn both_versions_carry_messages() {
    let server = Server::new("both_versions");
    for (version, expected) in
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let (stream, peer) = server.pair(version).await;
        assert!(stream.is_tls());
        let (_, session) = peer.get_ref();
        assert_eq!(session.protocol_version(), Some(expected));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        exchange(WsConn::new(stream, SETTINGS), peer).await;
    }
}

#[tokio::test]
async fn header_of_a_proxy_comes_before_tls() {
    let server = Server::new("proxy_header");
    let accepting = async {
        let mut accepted = server.listener.accept().await?;
        assert!(accepted.read_proxy_header().await?);
        assert_eq!(accepted.peer(), "192.0.2.7:12345".parse().unwrap());
        accepted.handshake().await
    };
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 443\r\n";
    let (stream, peer) = tokio::join!(accepting, server.connect_behind(header));
    exchange(WsConn::new(stream.unwrap(), SETTINGS), peer.unwrap()).await;
    // TLS where the header should be.
    let accepting = async { server.listener.accept().await?.read_proxy_header().await };
    let (read, _) = tokio::join!(accepting, server.connect_behind(b""));
    let error = read.unwrap_err();
    let bad = error.get_ref().and_then(|inner| inner.downcast_ref::<BadHeader>());
    assert_eq!(bad, Some(&BadHeader::Missing));
}

async fn exchange(mut conn: WsConn<Stream>, peer: TlsStream<TcpStream>) {
    let mut peer = client(peer);
    for len in [3, 20_000, 200_000] {
        let text = "x".repeat(len);
        let sending = async {
            peer.send(Message::text(text.clone())).await.unwrap();
            assert_eq!(peer.next().await.unwrap().unwrap().as_text(), Some(text.as_str()));
        };
        let echoing = async {
            assert_eq!(conn.next().await, Incoming::Text);
            conn.queue(Outgoing::Text(conn.text().to_owned()));
            conn.flush().await.unwrap();
        };
        tokio::join!(sending, echoing);
    }
    conn.queue(Outgoing::Close { code: CloseCode::GoingAway, reason: "" });
    conn.shutdown().await.unwrap();
    assert!(peer.next().await.unwrap().unwrap().is_close());
}

#[tokio::test]
async fn self_signed_certificate_is_for_its_names_only() {
    let server = Server::new("names_only");
    for (name, good) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("cuttlebone.lan", true),
        ("other.example", false),
        ("127.0.0.2", false),
    ] {
        let (_, peer) = tokio::join!(server.accept(), server.connect(&rustls::version::TLS13, name, b"http/1.1"));
        assert_eq!(peer.is_ok(), good, "{name}");
    }
}

#[tokio::test]
async fn unknown_protocol_is_refused() {
    let server = Server::new("alpn");
    let (stream, peer) = tokio::join!(server.accept(), server.connect(&rustls::version::TLS13, "localhost", b"h2"));
    assert!(stream.is_err() && peer.is_err());
}

#[tokio::test]
async fn half_a_handshake_holds_nobody_up() {
    let server = Server::new("half_handshake");
    let mut slow = TcpStream::connect(server.listener.local_addr().unwrap()).await.unwrap();
    slow.write_all(&[0x16]).await.unwrap();
    let stuck = server.listener.accept().await.unwrap();
    let mut stuck = Box::pin(stuck.handshake());
    assert!((&mut stuck).now_or_never().is_none());
    let (stream, peer) =
        tokio::join!(server.accept(), server.connect(&rustls::version::TLS13, "localhost", b"http/1.1"));
    assert!(stream.is_ok() && peer.is_ok());
    drop(slow);
    assert!(stuck.await.is_err());
}

/// Nobody has to be known for it, and nothing above TLS sees it.
#[tokio::test]
async fn changes_of_keys_without_end_end_the_connection() {
    let (mut stream, mut peer) = Server::new("keys").pair(&rustls::version::TLS13).await;
    let changing = async {
        for round in 0..20_000 {
            for _ in 0..30 {
                peer.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
            }
            // The library takes some in a row, and then wants to see data.
            if peer.write_all(b"x").await.is_err() || peer.flush().await.is_err() {
                return round;
            }
        }
        panic!("it is read on and on");
    };
    let reading = async {
        let mut data = Vec::new();
        let fault = stream.read_to_end(&mut data).await.unwrap_err();
        drop(stream);
        (fault, data.len())
    };
    let ((fault, read), _) = tokio::join!(reading, changing);
    assert!(fault.to_string().contains("no data"), "{fault}");
    assert!((50..500).contains(&read), "{read}");
}

/// Nor do records with a byte each pay for them.
#[tokio::test]
async fn data_between_changes_of_keys_do_not_pay_for_them() {
    let (mut stream, mut peer) = Server::new("paid").pair(&rustls::version::TLS13).await;
    let changing = async {
        for round in 0..20_000 {
            peer.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
            for _ in 0..4 {
                if peer.write_all(b"x").await.is_err() || peer.flush().await.is_err() {
                    return round;
                }
            }
        }
        panic!("it is read on and on");
    };
    let reading = async {
        let fault = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        drop(stream);
        fault
    };
    let (fault, _) = tokio::join!(reading, changing);
    assert!(fault.to_string().contains("no data"), "{fault}");
}

/// Records with a byte each are many times longer than what is in them. However many come, a read ends.
#[tokio::test]
async fn data_in_small_pieces_is_read_to_its_end() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (mut stream, mut peer) = Server::new("pieces").pair(version).await;
        let sending = async {
            for _ in 0..20_000 {
                peer.write_all(b"x").await.unwrap();
                peer.flush().await.unwrap();
            }
            for _ in 0..100 {
                peer.write_all(&[b'x'; 100_000]).await.unwrap();
            }
            peer.shutdown().await.unwrap();
        };
        let reading = async {
            // As much at once as there is scratch for.
            let mut piece = vec![0; 64 * 1024];
            let mut read = 0;
            loop {
                let count = stream.read(&mut piece).await.unwrap();
                assert!(count <= 256 || read + 256 > 20_000, "{count} after {read}");
                read += count;
                if count == 0 {
                    return read;
                }
            }
        };
        let (read, ()) = tokio::join!(reading, sending);
        assert_eq!(read, 10_020_000);
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_an_error() {
    let server = Server::new("plain_http");
    let mut plain = TcpStream::connect(server.listener.local_addr().unwrap()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(server.accept().await.is_err());
}

#[tokio::test]
async fn end_without_close_notify_is_broken() {
    let server = Server::new("no_close_notify");
    let (stream, peer) =
        tokio::join!(server.accept(), server.connect(&rustls::version::TLS13, "localhost", b"http/1.1"));
    let mut conn = WsConn::new(stream.unwrap(), SETTINGS);
    drop(peer.unwrap());
    assert_eq!(conn.next().await, Incoming::Broken);
}
