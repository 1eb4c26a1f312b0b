//! Accepts connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::proxy_protocol;
use crate::stream::Stream;
use crate::tls::Tls;
use crate::unix::{self, SocketFile, UnixAddress};

/// Bytes of a connection that the system takes before they can be sent.
const UNSENT: u32 = 16 * 1024;

pub(crate) const BACKLOG: i32 = 4096;
const USER_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// A listening socket: TCP, with or without TLS on what it accepts, or a unix socket.
pub struct Listener {
    socket: Listening,
    tls: Option<Tls>,
}

enum Listening {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// If we made it.
        _file: Option<SocketFile>,
        /// Of what is accepted.
        send_buffer: Option<usize>,
    },
}

/// A connection that was accepted, before its TLS handshake if there is one.
pub struct Accepted {
    socket: Socketed,
    peer: SocketAddr,
    tls: Option<Tls>,
}

enum Socketed {
    Tcp(TcpStream),
    Unix(UnixStream, Option<PeerUser>),
}

/// Who is at the other end of a unix socket, as the system says it: whoever opened the connection, at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerUser {
    /// The number of the user.
    pub user: u32,
    /// The number of the group of the process. Further groups of the user are not told.
    pub group: u32,
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
        Ok(Self { socket: Listening::Tcp(TcpListener::from_std(socket)?), tls: tls.cloned() })
    }

    /// Listens on a unix socket. A file that a server has left which is gone is removed; one at which somebody listens is not.
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// Those of the system: address in use, not allowed, something else at this path.
    pub fn bind_unix(address: &UnixAddress) -> io::Result<Self> {
        let (listener, file) = unix::bind(address)?;
        Ok(Self { socket: Listening::Unix { listener, _file: Some(file), send_buffer: None }, tls: None })
    }

    /// Takes over a unix socket that listens already; its file is left alone. Must be called within a runtime.
    ///
    /// # Errors
    /// Those of the system.
    pub fn inherit_unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from_std(socket)?;
        Ok(Self { socket: Listening::Unix { listener, _file: None, send_buffer: None }, tls: None })
    }

    fn listen(address: SocketAddr, tls: Option<&Tls>, beside_others: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(beside_others)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket: Listening::Tcp(TcpListener::from_std(socket.into())?), tls: tls.cloned() })
    }

    /// How much the system may keep on connections accepted from now on, in bytes: for a peer that does not read, and of what a peer
    /// has sent and is not read yet. Linux keeps twice as much, its own needs included. Without this it grows to MiB for the one and
    /// tens of MiB for the other. Of what is to be sent, little is not sent yet: a ping does not stand behind the rest, and that a slow
    /// peer reads is seen. By a unix socket, what is not read yet is kept for who sends it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_buffers(&mut self, send: usize, receive: usize) -> io::Result<()> {
        match &mut self.socket {
            Listening::Tcp(tcp) => {
                let socket = SockRef::from(&*tcp);
                socket.set_recv_buffer_size(receive)?;
                socket.set_send_buffer_size(send)?;
                socket.set_tcp_notsent_lowat(UNSENT)
            }
            // What is accepted does not take it over.
            Listening::Unix { send_buffer, .. } => {
                *send_buffer = Some(send);
                Ok(())
            }
        }
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// Those of the system, and that a unix socket has none.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Listening::Tcp(tcp) => tcp.local_addr(),
            Listening::Unix { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Waits for the next connection. Cancel safe.
    ///
    /// # Errors
    /// Those of `accept`, most of which pass: the caller waits a little and goes on. A connection
    /// whose options can't be set is gone already, and counts as one of them.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Listening::Tcp(listener) => {
                let (tcp, peer) = listener.accept().await?;
                configure(&tcp)?;
                Ok(Accepted { socket: Socketed::Tcp(tcp), peer, tls: self.tls.clone() })
            }
            Listening::Unix { listener, send_buffer, .. } => {
                let (unix, _) = listener.accept().await?;
                if let Some(bytes) = send_buffer {
                    SockRef::from(&unix).set_send_buffer_size(*bytes)?;
                }
                let user = unix.peer_cred().ok().map(|peer| PeerUser { user: peer.uid(), group: peer.gid() });
                Ok(Accepted { socket: Socketed::Unix(unix, user), peer: (Ipv4Addr::LOCALHOST, 0).into(), tls: None })
            }
        }
    }
}

impl Accepted {
    /// The address of the peer; one of IPv4 is told as such even if it came by an IPv6 socket. Who came by a unix socket is on
    /// this machine: 127.0.0.1, with port 0.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.peer.ip().to_canonical(), self.peer.port())
    }

    /// Who is at the other end, if the system says so: by a unix socket only.
    #[must_use]
    pub fn user(&self) -> Option<PeerUser> {
        match &self.socket {
            Socketed::Tcp(_) => None,
            Socketed::Unix(_, user) => *user,
        }
    }

    /// Reads the header by which a proxy says whose connection this is (PROXY protocol, version 1 or 2), to be called before
    /// [`Self::handshake`] and only for a proxy that is trusted. From then on [`Self::peer`] is the address that it says.
    /// False if it says none: the connection is its own. The caller sets the deadline. Not cancel safe.
    ///
    /// # Errors
    /// No header, or a bad one ([`BadHeader`](crate::BadHeader)), or the proxy hung up.
    pub async fn read_proxy_header(&mut self) -> io::Result<bool> {
        let source = match &mut self.socket {
            Socketed::Tcp(tcp) => proxy_protocol::read(tcp).await?,
            Socketed::Unix(unix, _) => proxy_protocol::read(unix).await?,
        };
        self.peer = source.unwrap_or(self.peer);
        Ok(source.is_some())
    }

    /// Does the TLS handshake, if the listener has TLS. The caller sets the deadline.
    ///
    /// # Errors
    /// The peer spoke no TLS, or none that is accepted here, or hung up.
    pub async fn handshake(self) -> io::Result<Stream> {
        match (self.socket, self.tls) {
            (Socketed::Tcp(tcp), None) => Ok(Stream::Plain(tcp)),
            (Socketed::Tcp(tcp), Some(tls)) => Ok(Stream::Tls(Box::new(tls.accept(tcp).await?))),
            (Socketed::Unix(unix, _), _) => Ok(Stream::Unix(unix)),
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
