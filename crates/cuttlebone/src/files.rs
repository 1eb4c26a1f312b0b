//! Files that others must not touch: who may is looked at before anything in them is believed. And none is read while it is being
//! written: half a list of who is revoked lets the others in.
//!
//! systemd hands secrets over in a folder that only the service reaches (`CREDENTIALS_DIRECTORY`). Where it lets the service read
//! them by an access list, the mode of such a file shows the mask of that list as what its group may do.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use cuttlebone_transport::file;

use crate::clock;

/// The longest file that is read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// So long a file has to have stood still.
const STILL: Duration = Duration::from_millis(250);
/// So often it is looked at, and so many times, until it is given up.
const EVERY: Duration = Duration::from_millis(50);
const LOOKS: u32 = 80;

/// What the group of a file and all others may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// It is no secret, but says who may do what.
    MayRead,
    /// It is a secret.
    MayNothing,
}

impl Others {
    /// What is wrong with the mode of a file, and what to do.
    fn judge(self, path: &Path, metadata: &Metadata) -> Result<(), String> {
        let (forbidden, what, remedy) = match self {
            Self::MayRead => (0o022, "change", "go-w"),
            Self::MayNothing if is_handed_over(path) => (0o037, "use", "go="),
            Self::MayNothing => (0o077, "use", "go="),
        };
        let mode = metadata.mode() & 0o777;
        if mode & forbidden == 0 {
            return Ok(());
        }
        let path = path.display();
        Err(format!("{path}: others than its owner may {what} it (mode {mode:03o}). Do: chmod {remedy} {path}"))
    }
}

/// Whether the service manager has put the file there for this process alone.
fn is_handed_over(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.parent() == Some(Path::new(&folder)))
}

/// Reads a file, when it stands still. Errors: what is wrong, in words that name it and have nothing of what is in it.
pub(crate) fn read(path: &Path, others: Others) -> Result<String, String> {
    let cannot = |error| format!("cannot read {}: {error}", path.display());
    // What is wrong with its mode can be told at once.
    let metadata = fs::metadata(path).map_err(cannot)?;
    if metadata.is_file() {
        others.judge(path, &metadata)?;
    }
    when_still(path, || read_open(&file::open(path).map_err(cannot)?, path, others))
}

/// What `read` makes of a file, when that was not changed while it was read, nor a moment before; of what is no file (a pipe), at once.
/// Errors: those of `read`, and that it is written to all the time.
pub(crate) fn when_still<T>(path: &Path, read: impl Fn() -> Result<T, String>) -> Result<T, String> {
    for _ in 0..LOOKS {
        let before = match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata,
            _ => return read(),
        };
        if !is_young(&before) {
            let result = read()?;
            if fs::metadata(path).is_ok_and(|after| Stamp::of(&after) == Stamp::of(&before)) {
                return Ok(result);
            }
        }
        thread::sleep(EVERY);
    }
    Err(format!("{} is written to all the time: write another beside it, and rename that", path.display()))
}

/// Whether it was changed, or came here, a moment ago: it may be being written.
fn is_young(metadata: &Metadata) -> bool {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    // One that is of the future tells nothing.
    let age = clock::unix_time().checked_sub(Duration::new(seconds, nanos));
    age.is_some_and(|age| age < STILL)
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file that is open; `path` is only shown. Errors as [`read`].
pub(crate) fn read_open(file: &File, path: &Path, others: Others) -> Result<String, String> {
    let cannot = |error| format!("cannot read {}: {error}", path.display());
    let metadata = file.metadata().map_err(cannot)?;
    others.judge(path, &metadata)?;
    let mut text = String::new();
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(cannot)?;
    if read as u64 > MOST_BYTES {
        return Err(format!("{} is longer than {MOST_BYTES} bytes", path.display()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn file(mode: u32) -> PathBuf {
        let path = std::env::temp_dir().join(format!("cuttlebone-files-{}-{mode:o}", std::process::id()));
        fs::write(&path, "CANARY").expect("writes");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("is ours");
        path
    }

    #[test]
    fn who_else_may_touch_a_file_decides_whether_it_is_read() {
        for (mode, may_read, may_nothing) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o640, true, false),
            (0o644, true, false),
            (0o660, false, false),
            (0o602, false, false),
            (0o601, true, false),
        ] {
            let path = file(mode);
            assert_eq!(read(&path, Others::MayRead).is_ok(), may_read, "{mode:o}");
            assert_eq!(read(&path, Others::MayNothing).is_ok(), may_nothing, "{mode:o}");
            fs::remove_file(path).expect("removes");
        }
    }

    /// One that writes it in pieces, and one that never stops.
    #[test]
    fn file_is_read_when_it_stands_still() {
        let path = file(0o604);
        let writing = {
            let path = path.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    let mut file = File::create(&path).expect("ours");
                    for piece in ["a\n", "b\n", "c\n"] {
                        thread::sleep(Duration::from_millis(60));
                        std::io::Write::write_all(&mut file, piece.as_bytes()).expect("writes");
                    }
                }
            })
        };
        thread::sleep(Duration::from_millis(90));
        assert_eq!(read(&path, Others::MayRead).as_deref(), Ok("a\nb\nc\n"));
        writing.join().expect("wrote");
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let restless = {
            let (path, stop) = (path.clone(), std::sync::Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    fs::write(&path, "a").expect("writes");
                    thread::sleep(Duration::from_millis(20));
                }
            })
        };
        thread::sleep(Duration::from_millis(100));
        let refused = read(&path, Others::MayRead).expect_err("never still");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        restless.join().expect("stopped");
        fs::remove_file(&path).expect("removes");
        assert!(refused.ends_with("is written to all the time: write another beside it, and rename that"), "{refused}");
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        for path in ["/", "/dev/null"] {
            let refused = read(Path::new(path), Others::MayRead).expect_err("refused");
            assert!(refused.contains("it is no file"), "{refused}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do_and_without_what_is_in_the_file() {
        let path = file(0o666);
        let change = read(&path, Others::MayRead).expect_err("refused");
        let secret = read(&path, Others::MayNothing).expect_err("refused");
        fs::remove_file(&path).expect("removes");
        assert!(change.contains("(mode 666)") && change.contains("chmod go-w "), "{change}");
        assert!(secret.contains("(mode 666)") && secret.contains("chmod go= "), "{secret}");
        assert!(!change.contains("CANARY") && !secret.contains("CANARY"));
        let missing = read(&path, Others::MayRead).expect_err("refused");
        assert!(missing.starts_with("cannot read ") && missing.contains("No such file"), "{missing}");
    }
}
