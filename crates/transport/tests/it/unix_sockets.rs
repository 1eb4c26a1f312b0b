//! Unix sockets: their files, and who is at the other end.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, mkfifoat};
use socket2::{Domain, SockAddr, Socket, Type};

use cuttlebone_transport::{Accepted, Listener, Stream, UnixAddress};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A path for one test, in a directory that is gone with it. That of a socket has 107 bytes at most.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("cuttlebone-{test}-{}", std::process::id()));
        drop(fs::remove_dir_all(&directory));
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.join("socket")
    }

    fn address(&self) -> UnixAddress {
        UnixAddress { path: self.path(), mode: 0o660, group: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

async fn accepted(listener: &Listener, place: &Place) -> (Accepted, UnixStream) {
    let (accepted, connected) = tokio::join!(listener.accept(), UnixStream::connect(place.path()));
    (accepted.unwrap(), connected.unwrap())
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_user_is_told() {
    let place = Place::new("bytes");
    let mut listener = Listener::bind_unix(&place.address()).unwrap();
    listener.set_buffers(50_000, 20_000).unwrap();
    let (accepted, mut peer) = accepted(&listener, &place).await;
    let own = fs::metadata(&place.0).unwrap();
    let user = accepted.user().unwrap();
    assert_eq!((user.user, user.group), (own.uid(), own.gid()), "who made the directory");
    assert!(accepted.peer().ip().is_loopback() && accepted.peer().port() == 0);
    let mut stream = accepted.handshake().await.unwrap();
    let Stream::Unix(unix) = &stream else { panic!("a unix socket") };
    assert!((50_000..=100_000).contains(&SockRef::from(unix).send_buffer_size().unwrap()) && !stream.is_tls());
    peer.write_all(b"ping").await.unwrap();
    let mut seen = [0; 4];
    stream.read_exact(&mut seen).await.unwrap();
    stream.write_all(&seen).await.unwrap();
    peer.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"ping");
}

#[tokio::test]
async fn file_has_its_mode_and_its_group_and_goes_with_the_listener() {
    let place = Place::new("mode");
    let group = fs::metadata(&place.0).unwrap().gid();
    let address = UnixAddress { mode: 0o600, group: Some(group), ..place.address() };
    let listener = Listener::bind_unix(&address).unwrap();
    let metadata = fs::metadata(place.path()).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.gid()), (0o600, group));
    drop(listener);
    assert!(!place.path().exists());
}

#[tokio::test]
async fn file_that_was_left_is_replaced_and_one_that_listens_is_not() {
    let place = Place::new("stale");
    // Of a server that was killed: the file stays.
    drop(std::os::unix::net::UnixListener::bind(place.path()).unwrap());
    assert!(place.path().exists());
    let first = Listener::bind_unix(&place.address()).unwrap();
    let second = Listener::bind_unix(&place.address());
    assert_eq!(second.err().unwrap().kind(), ErrorKind::AddrInUse);
    accepted(&first, &place).await;
    drop(first);
    // Of one that knows no lock.
    let foreign = std::os::unix::net::UnixListener::bind(place.path()).unwrap();
    assert_eq!(Listener::bind_unix(&place.address()).err().unwrap().kind(), ErrorKind::AddrInUse);
    drop(foreign);
    assert!(Listener::bind_unix(&place.address()).is_ok());
}

/// What is in the way may be there to hold a start up.
#[tokio::test]
async fn nothing_in_the_way_is_waited_for() {
    let place = Place::new("waited");
    let lock = place.path().with_extension("lock");
    // Not by another program: while it starts it holds the sockets and the locks of all other tests.
    mkfifoat(CWD, &lock, Mode::RUSR | Mode::WUSR).unwrap();
    assert_eq!(Listener::bind_unix(&place.address()).err().unwrap().kind(), ErrorKind::AlreadyExists);
    fs::remove_file(&lock).unwrap();

    let full = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    full.bind(&SockAddr::unix(place.path()).unwrap()).unwrap();
    full.listen(0).unwrap();
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(&SockAddr::unix(place.path()).unwrap()).map(|()| socket)
    };
    let queued: Vec<_> = std::iter::from_fn(|| connect().ok()).take(10).collect();
    assert!(queued.len() < 10, "its queue is full");
    assert_eq!(Listener::bind_unix(&place.address()).err().unwrap().kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let place = Place::new("other");
    fs::write(place.path(), "precious").unwrap();
    assert_eq!(Listener::bind_unix(&place.address()).err().unwrap().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "precious");
    assert!(Listener::bind_unix(&UnixAddress { path: "/".repeat(200).into(), ..place.address() }).is_err());
}

#[tokio::test]
async fn file_of_another_listener_is_not_taken_along() {
    let place = Place::new("another");
    let first = Listener::bind_unix(&place.address()).unwrap();
    // Somebody has put another in its place.
    fs::remove_file(place.path()).unwrap();
    let other = std::os::unix::net::UnixListener::bind(place.path()).unwrap();
    drop(first);
    assert!(place.path().exists());
    drop(other);
}

#[tokio::test]
async fn socket_that_is_handed_over_keeps_its_file() {
    let place = Place::new("handed");
    let socket = std::os::unix::net::UnixListener::bind(place.path()).unwrap();
    let listener = Listener::inherit_unix(socket).unwrap();
    assert!(listener.local_addr().is_err());
    assert!(accepted(&listener, &place).await.0.user().is_some());
    drop(listener);
    assert!(place.path().exists());
}
