//! Notices that files have changed on disk.
//!
//! Invariants: 1. a change that comes after [`Watch::new`] is noticed, also one in place that keeps the length; 2. it is told of
//! when two looks in succession saw the same of all files, so that none is read while it is being written; but a file that
//! never stands still holds up no other for more than [`PATIENCE`] looks, and itself for no more than [`RESTLESS`]; 3. one change
//! is told of once.

use std::fs;
use std::path::PathBuf;

use crate::files::Stamp;

/// So many looks a change waits for other files to stand still.
const PATIENCE: u32 = 4;
/// So many looks it waits for its own file: that it is not being written then is seen to by who reads it ([`crate::files`]).
const RESTLESS: u32 = 5;

/// `None` is a file that is not there.
type Stamps = Vec<Option<Stamp>>;

/// The files, as they were last told of and last looked at.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    paths: Vec<PathBuf>,
    told: Stamps,
    seen: Stamps,
    /// Looks for which a change has waited, this one included.
    waited: u32,
}

impl Watch {
    /// Begins to watch. To be called before the files are read, so that no change falls between.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let told = stamps(&paths);
        Self { paths, seen: told.clone(), told, waited: 0 }
    }

    /// Looks at the files. Whether one of them has changed since the last time that this said so of it, and not since the last look.
    pub(crate) fn look(&mut self) -> bool {
        let now = stamps(&self.paths);
        let is_still: Vec<bool> = now.iter().zip(&self.seen).map(|(now, seen)| now == seen).collect();
        self.seen = now;
        if self.seen == self.told {
            self.waited = 0;
            return false;
        }
        self.waited += 1;
        let (is_all_still, is_late) = (!is_still.contains(&false), self.waited > RESTLESS);
        let mut ready: Vec<_> = self.seen.iter().zip(&mut self.told).zip(&is_still).collect();
        ready.retain(|((seen, told), is_still)| (**is_still || is_late) && seen != told);
        if ready.is_empty() || !(is_all_still || self.waited > PATIENCE) {
            return false;
        }
        self.waited = 0;
        ready.into_iter().for_each(|((seen, told), _)| told.clone_from(seen));
        true
    }
}

fn stamps(paths: &[PathBuf]) -> Stamps {
    paths.iter().map(|path| fs::metadata(path).ok().as_ref().map(Stamp::of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("cuttlebone-watch-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).expect("makes");
            Self(dir)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("removes");
        }
    }

    #[test]
    fn change_is_told_of_once_and_when_it_stands_still() {
        let dir = Dir::new("once");
        let path = dir.path("a");
        fs::write(&path, "1").expect("writes");
        let mut watch = Watch::new(vec![path.clone()]);
        assert!(!watch.look() && !watch.look(), "nothing happened");
        fs::write(&path, "12").expect("writes");
        assert!(!watch.look(), "it may be written still");
        fs::write(&path, "123").expect("writes");
        assert!(!watch.look(), "it was");
        assert!(watch.look());
        assert!(!watch.look() && !watch.look(), "told already");
    }

    #[test]
    fn another_file_of_the_same_length_is_a_change_and_so_is_none() {
        let dir = Dir::new("other");
        let [path, other] = ["a", "b"].map(|name| dir.path(name));
        fs::write(&path, "1").expect("writes");
        let mut watch = Watch::new(vec![path.clone()]);
        fs::write(&other, "2").expect("writes");
        fs::rename(&other, &path).expect("renames");
        assert!(!watch.look() && watch.look());
        fs::remove_file(&path).expect("removes");
        assert!(!watch.look() && watch.look());
        fs::write(&path, "2").expect("writes");
        assert!(!watch.look() && watch.look());
    }

    #[test]
    fn one_that_never_stands_still_holds_up_no_other() {
        let dir = Dir::new("restless");
        let [restless, quiet] = ["a", "b"].map(|name| dir.path(name));
        fs::write(&restless, "").expect("writes");
        fs::write(&quiet, "").expect("writes");
        let mut watch = Watch::new(vec![restless.clone(), quiet.clone()]);
        fs::write(&quiet, "1").expect("writes");
        let mut told = Vec::new();
        for length in 1..10 {
            fs::write(&restless, "x".repeat(length)).expect("writes");
            told.push(watch.look());
        }
        assert_eq!(told.iter().position(|told| *told), Some(4), "the quiet one, in the end");
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(watch.look() && !watch.look(), "it stands still now");
        // Whoever is taken back by a file that others write to all the time is taken back.
        let told = (10..50_usize).filter(|length| {
            fs::write(&restless, "x".repeat(*length)).expect("writes");
            watch.look()
        });
        assert_eq!(told.collect::<Vec<_>>(), [15, 21, 27, 33, 39, 45]);
    }

    #[test]
    fn nothing_to_watch_never_changes() {
        let mut watch = Watch::default();
        assert!(!watch.look() && !watch.look());
    }
}
