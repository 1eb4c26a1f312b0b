//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::stream::Stream;
use crate::tls::Tls;

const BACKLOG: i32 = 4096;
const USER_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// A listening TCP socket, with or without TLS on what it accepts.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

/// A connection that was accepted, before its TLS handshake if there is one.
pub struct Accepted {
    tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
}

impl Listener {
    /// Listens on `address`; port 0 means any free port. Must be called within a runtime.
    ///
    /// `[::]` takes IPv4 too where that is the default of the system, as it is on Linux.
    ///
    /// # Errors
    /// Those of the system: address in use, not allowed, not ours.
    pub fn bind(address: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        Self::listen(address, tls, false)
    }

    /// As [`Self::bind`], beside others that listen on the same address in the same way (`SO_REUSEPORT`): each gets a part
    /// of the connections.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_beside_others(address: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        Self::listen(address, tls, true)
    }

    /// Takes over a socket that listens already. Must be called within a runtime.
    ///
    /// # Errors
    /// Those of the system.
    pub fn inherit(socket: std::net::TcpListener, tls: Option<&Tls>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { tcp: TcpListener::from_std(socket)?, tls: tls.cloned() })
    }

    fn listen(address: SocketAddr, tls: Option<&Tls>, beside_others: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(beside_others)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { tcp: TcpListener::from_std(socket.into())?, tls: tls.cloned() })
    }

    /// How much the system may keep for a peer that does not read, in bytes, on connections accepted from now on. Linux
    /// keeps twice as much, its own needs included. Without this it grows to several MiB a connection.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(&self.tcp).set_send_buffer_size(bytes)
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Waits for the next connection. Cancel safe.
    ///
    /// # Errors
    /// Those of `accept`, most of which pass: the caller waits a little and goes on. A connection
    /// whose options can't be set is gone already, and counts as one of them.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let (tcp, peer) = self.tcp.accept().await?;
        configure(&tcp)?;
        Ok(Accepted { tcp, peer, tls: self.tls.clone() })
    }
}

impl Accepted {
    /// The address of the peer; one of IPv4 is told as such even if it came by an IPv6 socket.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.peer.ip().to_canonical(), self.peer.port())
    }

    /// Does the TLS handshake, if the listener has TLS. The caller sets the deadline.
    ///
    /// # Errors
    /// The peer spoke no TLS, or none that is accepted here, or hung up.
    pub async fn handshake(self) -> io::Result<Stream> {
        match self.tls {
            None => Ok(Stream::Plain(self.tcp)),
            Some(tls) => Ok(Stream::Tls(Box::new(tls.accept(self.tcp).await?))),
        }
    }
}

fn configure(tcp: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
