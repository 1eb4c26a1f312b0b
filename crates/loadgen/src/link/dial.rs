//! TCP to a server, from a certain address if wanted, with or without TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use anyhow::{Result, ensure};
use cuttlebone_client::{Endpoint, raw};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::fault::Fault;

/// Connections of one address to one server, so that ports are left whose last connection was a moment ago.
const PER_SOURCE: usize = 10_000;
/// The ports of connections whose address is chosen. The system chooses others (from 32,768 on) for all that choose
/// nothing; a port that is bound in advance would be lost for those, whatever its address.
const FIRST_PORT: u16 = 10_000;
const LAST_PORT: u16 = 32_767;
/// Ports that are tried before a connection is given up.
const TRIES: usize = 64;
/// The last of the loopback addresses that are used.
const MOST_SOURCES: usize = 250;

/// Where to, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) endpoint: Endpoint,
    /// The address to come from. Only without TLS.
    pub(crate) source: Option<IpAddr>,
    /// What the system may keep unread for this connection. Only without TLS.
    pub(crate) receive_buffer: Option<u32>,
}

impl From<&Endpoint> for Dial {
    fn from(endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), source: None, receive_buffer: None }
    }
}

/// The addresses for so many connections: 127.0.0.2 and the next ones where that works, which is without TLS and to
/// 127.0.0.0/8; else what the system chooses.
///
/// # Errors
/// When they are more than the ports of the addresses.
pub(crate) async fn sources(endpoint: &Endpoint, connections: usize) -> Result<Vec<Option<IpAddr>>> {
    let count = connections.div_ceil(PER_SOURCE);
    if count <= 1 || endpoint.is_tls() || !is_loopback_v4(endpoint).await {
        return Ok(vec![None]);
    }
    ensure!(count <= MOST_SOURCES, "{connections} connections are more than the ports of all loopback addresses");
    Ok((2u8..).take(count).map(|last| Some(IpAddr::from([127, 0, 0, last]))).collect())
}

async fn is_loopback_v4(endpoint: &Endpoint) -> bool {
    let address = lookup_host((endpoint.host(), endpoint.port())).await.ok().and_then(|mut found| found.next());
    address.is_some_and(|address| address.is_ipv4() && address.ip().is_loopback())
}

/// An open stream, before any HTTP.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<raw::Stream>),
}

impl Dial {
    /// The same from another address.
    pub(crate) fn with_source(&self, source: Option<IpAddr>) -> Self {
        Self { source, ..self.clone() }
    }

    pub(crate) async fn open(&self) -> Result<Socket, Fault> {
        if self.endpoint.is_tls() {
            return raw::Stream::open(&self.endpoint)
                .await
                .map(|tls| Socket::Tls(Box::new(tls)))
                .map_err(connect_fault);
        }
        let tcp = self.connect().await.map_err(|error| Fault::connect(&error))?;
        Ok(Socket::Plain(tcp))
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let host = (self.endpoint.host(), self.endpoint.port());
        let tcp = match (self.source, self.receive_buffer) {
            (None, None) => TcpStream::connect(host).await?,
            _ => {
                let to = lookup_host(host).await?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
                let mut tries = 0;
                loop {
                    tries += 1;
                    match self.connect_to(to).await {
                        Err(error) if is_port_taken(&error) && tries < TRIES => {}
                        result => break result?,
                    }
                }
            }
        };
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    async fn connect_to(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = self.source {
            // Also a port whose last connection was a moment ago.
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(source, next_port()))?;
        }
        socket.connect(to).await
    }
}

fn is_port_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// One port after the other; processes begin at different ones.
fn next_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let ports = u32::from(LAST_PORT - FIRST_PORT) + 1;
    let number = std::process::id().wrapping_mul(7919).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
    FIRST_PORT + u16::try_from(number % ports).unwrap_or(0)
}

pub(crate) fn connect_fault(error: raw::ConnectError) -> Fault {
    match error {
        raw::ConnectError::Io(error) => Fault::connect(&error),
        other => Fault::Connect { kind: "connect", text: other.to_string() },
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_comes_from_the_address_it_was_given() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        let dial = Dial { receive_buffer: Some(4096), ..Dial::from(&endpoint) };
        let source = IpAddr::from([127, 0, 0, 77]);
        let _open = dial.with_source(Some(source)).open().await.unwrap();
        let (_tcp, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), source);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        let dial = Dial::from(&endpoint).with_source(Some(IpAddr::from([127, 0, 0, 78])));
        // Those who listen on the next ports; other tests may take some of them meanwhile.
        let next = next_port();
        let ports = (1..=8).map(|n| FIRST_PORT + (next - FIRST_PORT + n) % (LAST_PORT - FIRST_PORT + 1));
        let taken: Vec<_> = ports.filter_map(|port| std::net::TcpListener::bind(("127.0.0.78", port)).ok()).collect();
        assert!(!taken.is_empty());
        dial.open().await.unwrap();
    }

    #[tokio::test]
    async fn many_connections_come_from_many_addresses() {
        let endpoint = |url: &str| Endpoint::parse(url).unwrap();
        let plain = endpoint("ws://127.0.0.1:1");
        assert_eq!(sources(&plain, 10_000).await.unwrap(), [None]);
        let two = sources(&plain, 19_000).await.unwrap();
        assert_eq!(two, [Some(IpAddr::from([127, 0, 0, 2])), Some(IpAddr::from([127, 0, 0, 3]))]);
        assert!(sources(&plain, 3_000_000).await.is_err());
        assert_eq!(sources(&endpoint("wss://127.0.0.1:1"), 19_000).await.unwrap(), [None]);
        assert_eq!(sources(&endpoint("ws://192.0.2.1:1"), 19_000).await.unwrap(), [None]);
    }
}
