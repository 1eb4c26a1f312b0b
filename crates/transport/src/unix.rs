//! A unix socket that listens, and its file.
//!
//! Invariants: 1. a file at which somebody listens is never taken away; 2. a file that a server left which is gone is no
//! obstacle; 3. nobody connects before the file has its mode and its group; 4. the file goes with the listener, if it is
//! still its own; 5. nothing is waited for, whatever is there.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use crate::listener::BACKLOG;

/// Where a unix socket is, and who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixAddress {
    /// Its file. Beside it there is one more, with `.lock` at its end.
    pub path: PathBuf,
    /// The mode of the file: whoever may write to it may connect.
    pub mode: u32,
    /// The number of the group that the file gets; else it is that of the process.
    pub group: Option<u32>,
}

/// The file of a listener; gone with it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
    /// Held as long as this is: of two servers at one path, the second waits for none of it and fails.
    _lock: File,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|now| now == self.id) {
            // Who can't remove it leaves what the next server will find stale.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Listens on `address`. Must be called within a runtime.
pub(crate) fn bind(address: &UnixAddress) -> io::Result<(UnixListener, SocketFile)> {
    let UnixAddress { path, mode, group } = address;
    let lock = lock(path)?;
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile { path: path.clone(), id: id(path)?, _lock: lock };
    give(&file, *mode, *group)?;
    // Until here whoever connects is refused.
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// One server at a time looks at the file.
fn lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    if fs::symlink_metadata(&name).is_ok_and(|metadata| metadata.is_symlink()) {
        let text = format!("{} is a link, and would be made elsewhere", Path::new(&name).display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // Whoever may open it could hold it. A pipe that is only written to would be waited for.
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(&name)?;
    if !file.metadata()?.is_file() {
        let text = format!("{} is no file", Path::new(&name).display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::AddrInUse.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a socket at which nobody listens. Anything else is left, and an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else than a socket"));
        }
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose queue is full would be waited for.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // It listens, or is too busy to say so, or is not ours to ask.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Gives the socket its mode and its group. Who may write in its folder could put a link in its place: no link is followed, and
/// nothing is changed but what was there after the bind, if that is a socket. Needs `/proc`.
fn give(socket: &SocketFile, mode: u32, group: Option<u32>) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(&socket.path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.file_type().is_socket() || (metadata.dev(), metadata.ino()) != socket.id {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "somebody has put something else in its place"));
    }
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    if group.is_some() {
        chown(&itself, None, group)?;
    }
    fs::set_permissions(&itself, Permissions::from_mode(mode))
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
