//! Files that a configuration names.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// So that a pipe is open at once, and is not one that nobody writes to.
const WITHOUT_WAITING: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Opens a file for reading, and waits for nobody.
///
/// # Errors
///
/// Those of the system, and [`io::ErrorKind::InvalidInput`] for what is no file. What is looked at is what was opened: whoever
/// may write in the folder can't put something else there in between.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(WITHOUT_WAITING).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file, but a folder, a pipe or a device"))
}
