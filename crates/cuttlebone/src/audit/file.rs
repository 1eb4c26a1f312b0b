//! A file that is moved aside when it is as long as it may be, and begun anew.
//!
//! Invariants: 1. the file and each that it was before have at most `max_bytes`, and there are at most `keep` of them;
//! 2. a file has whole lines; where a crash cut one in half, the next begins on a line of its own; 3. whoever reads it
//! by its name sees the old file or the new one, for it is moved by renaming. One process writes a file; during a
//! restart without a gap it may be two.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Out;

/// Nobody but the owner reads who connects from where.
const MODE: u32 = 0o600;

/// No link is followed, and nothing is waited for.
const SAFELY: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// The file.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    /// `None` where it could not be written, or was moved away: it is opened with the next line.
    file: Option<File>,
}

impl RotatingFile {
    /// Opens the file, and makes it if it is not there.
    pub(super) fn open(path: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        let file = open(path)?;
        Ok(Self { path: path.to_owned(), max_bytes, keep, file: Some(file) })
    }

    /// The file, or a new one where it has no room.
    fn with_room(&self, file: File, bytes: usize) -> io::Result<File> {
        let length = file.metadata()?.len();
        if length == 0 || length.saturating_add(bytes as u64) <= self.max_bytes {
            return Ok(file);
        }
        file.sync_data()?;
        if is_at(&file, &self.path) {
            for number in (1..self.keep).rev() {
                move_aside(&self.former(number), &self.former(number + 1))?;
            }
            move_aside(&self.path, &self.former(1))?;
        }
        open(&self.path)
    }

    fn former(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Out for RotatingFile {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let file = self.file.take().map_or_else(|| open(&self.path), Ok)?;
        let mut file = self.with_room(file, line.len())?;
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(line) {
            // As much of the line as there was room for. Where it can't be taken back, it stays a line of its own.
            let _ = file.set_len(before);
            return Err(error);
        }
        self.file = Some(file);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn reopen(&mut self) {
        self.file = None;
    }
}

/// What is wrong with a path for an audit log, before anything is made.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(format!("{} is no folder", folder.display()));
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(format!("{} is a link, and has to be a file", path.display())),
        Ok(metadata) => judge(&metadata, path),
        Err(_) => Ok(()),
    }
}

/// What is wrong with a file: whoever else may use it could read along.
fn judge(metadata: &Metadata, path: &Path) -> Result<(), String> {
    let path = path.display();
    if !metadata.is_file() {
        return Err(format!("{path} is no file"));
    }
    match metadata.mode() & 0o777 {
        mode if mode & 0o077 != 0 => {
            Err(format!("{path}: others than its owner may use it (mode {mode:03o}). Do: chmod go= {path}"))
        }
        _ => Ok(()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let refused = |fault| io::Error::new(io::ErrorKind::InvalidInput, fault);
    check(path).map_err(refused)?;
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut options = OpenOptions::new();
    // Whoever may write in the folder could put something else there in between: a link, or a pipe that would be waited for.
    options.read(true).append(true).create(true).mode(MODE).custom_flags(SAFELY);
    let mut file = options.open(path).map_err(named)?;
    let metadata = file.metadata()?;
    judge(&metadata, path).map_err(refused)?;
    // Its owner could read along. Only here: whoever checks a configuration may be another user than the one of the server.
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused(format!("{} belongs to another user (number {})", path.display(), metadata.uid())));
    }
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Whether the file is the one that has this name.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().map(id).ok() == fs::metadata(path).map(id).ok()
}

fn move_aside(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("cuttlebone-audit-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).expect("makes");
            Self(dir)
        }

        fn log(&self) -> PathBuf {
            self.0.join("audit.jsonl")
        }

        /// What somebody else has written.
        fn write(&self, text: &str) {
            let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(self.log());
            file.and_then(|mut file| file.write_all(text.as_bytes())).expect("writes");
        }

        /// Each file and what is in it, in the order of the names.
        fn files(&self) -> Vec<(String, String)> {
            let mut files: Vec<_> =
                fs::read_dir(&self.0).expect("a folder").map(|entry| entry.expect("read")).collect();
            files.sort_by_key(fs::DirEntry::file_name);
            let text = |entry: &fs::DirEntry| fs::read_to_string(entry.path()).expect("text");
            files.iter().map(|entry| (entry.file_name().to_string_lossy().into_owned(), text(entry))).collect()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("removes");
        }
    }

    fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| (String::from(*name), String::from(*text))).collect()
    }

    #[test]
    fn full_file_is_moved_aside_and_the_oldest_goes() {
        let dir = Dir::new("rotates");
        let mut file = RotatingFile::open(&dir.log(), 8, 2).expect("opens");
        for line in ["1234567\n", "a\n", "b\n", "123456789\n", "c\n"] {
            file.append(line.as_bytes()).expect("written");
        }
        let expected = [("audit.jsonl", "c\n"), ("audit.jsonl.1", "123456789\n"), ("audit.jsonl.2", "a\nb\n")];
        assert_eq!(dir.files(), named(&expected));
        let mode = fs::metadata(dir.log()).expect("there").mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn what_was_there_is_kept_and_half_a_line_stays_alone() {
        let dir = Dir::new("appends");
        dir.write("old\nhalf");
        let mut file = RotatingFile::open(&dir.log(), 100, 1).expect("opens");
        file.append(b"new\n").expect("written");
        assert_eq!(dir.files(), named(&[("audit.jsonl", "old\nhalf\nnew\n")]));
    }

    #[test]
    fn file_that_was_moved_away_is_gone_on_with_until_it_is_said_and_then_begun_anew() {
        let dir = Dir::new("reopens");
        let mut file = RotatingFile::open(&dir.log(), 100, 1).expect("opens");
        file.append(b"1\n").expect("written");
        fs::rename(dir.log(), dir.0.join("moved")).expect("renames");
        file.append(b"2\n").expect("written");
        file.reopen();
        file.append(b"3\n").expect("written");
        assert_eq!(dir.files(), named(&[("audit.jsonl", "3\n"), ("moved", "1\n2\n")]));
    }

    /// A writer beside this one has moved it aside already.
    #[test]
    fn full_file_that_has_another_name_by_now_pushes_nothing_out() {
        let dir = Dir::new("moved");
        let mut file = RotatingFile::open(&dir.log(), 4, 1).expect("opens");
        file.append(b"123\n").expect("written");
        fs::rename(dir.log(), dir.0.join("audit.jsonl.1")).expect("renames");
        dir.write("4\n");
        file.append(b"5\n").expect("written");
        assert_eq!(dir.files(), named(&[("audit.jsonl", "4\n5\n"), ("audit.jsonl.1", "123\n")]));
    }

    /// `/dev/full` is a disk without room, and no file.
    #[test]
    fn folder_that_is_gone_is_an_error_until_it_is_back_and_what_is_no_file_is_refused() {
        let dir = Dir::new("fails");
        let folder = dir.0.join("folder");
        fs::create_dir(&folder).expect("makes");
        let path = folder.join("audit.jsonl");
        let mut file = RotatingFile::open(&path, 100, 1).expect("opens");
        fs::remove_dir_all(&folder).expect("removes");
        file.reopen();
        assert!(file.append(b"lost\n").is_err());
        fs::create_dir(&folder).expect("makes");
        file.append(b"kept\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "kept\n");
        fs::remove_dir_all(&folder).expect("removes");
        for none in ["/dev/full", "/", "/nowhere/audit.jsonl"] {
            assert!(RotatingFile::open(Path::new(none), 100, 1).is_err(), "{none}");
        }
    }

    /// Somebody else may have made it, to read along or to write.
    #[test]
    fn link_and_file_of_others_are_refused_and_told_with_what_to_do() {
        let dir = Dir::new("others");
        dir.write("theirs\n");
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(dir.log(), fs::Permissions::from_mode(mode)).expect("ours");
            let fault = RotatingFile::open(&dir.log(), 100, 1).expect_err("open to others").to_string();
            assert!(fault.contains(&format!("mode {mode:03o}")) && fault.contains("chmod go="), "{fault}");
        }
        fs::set_permissions(dir.log(), fs::Permissions::from_mode(MODE)).expect("ours");
        assert!(RotatingFile::open(&dir.log(), 100, 1).is_ok());
        let link = dir.0.join("link");
        std::os::unix::fs::symlink(dir.log(), &link).expect("made");
        let fault = RotatingFile::open(&link, 100, 1).expect_err("a link").to_string();
        assert!(fault.ends_with("is a link, and has to be a file"), "{fault}");
        // Only root can give a file away, and only root could open it then.
        if std::os::unix::fs::chown(dir.log(), Some(65_534), None).is_ok() {
            let fault = RotatingFile::open(&dir.log(), 100, 1).expect_err("of another").to_string();
            assert!(fault.ends_with("belongs to another user (number 65534)"), "{fault}");
            assert_eq!(check(&dir.log()), Ok(()), "who checks may be another user than the server");
        }
    }
}
