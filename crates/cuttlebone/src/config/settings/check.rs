//! Collects faults instead of stopping at the first, and turns plain numbers into counts and times.

use std::path::Path;
use std::time::Duration;

use cuttlebone_server::Rate;

use super::super::fault::Origin;
use super::super::merge::Merged;
use super::super::raw::RawAuto;
use super::super::{Fault, Faults};

/// Collects faults; each gets the place where its key was written.
pub(super) struct Check<'a> {
    merged: &'a Merged,
    faults: Faults,
}

impl<'a> Check<'a> {
    pub(super) fn new(merged: &'a Merged, faults: Faults) -> Self {
        Self { merged, faults }
    }

    pub(super) fn into_faults(self) -> Faults {
        self.faults
    }

    /// Notes a fault of a key.
    pub(super) fn fault(&mut self, key: &str, text: impl Into<String>) {
        let origin = self.merged.origin(key);
        self.faults.push(Fault { key: key.to_owned(), origin, text: text.into() });
    }

    /// Notes a fault of a key that is only one because of `other`: it has the place of that, where it has none itself.
    pub(super) fn fault_with(&mut self, key: &str, other: &str, text: impl Into<String>) {
        let origin = match self.merged.origin(key) {
            Origin::Default => self.merged.origin(other),
            written => written,
        };
        self.faults.push(Fault { key: key.to_owned(), origin, text: text.into() });
    }

    /// Notes a fault in a file that a key names.
    pub(super) fn fault_in_file(&mut self, path: &Path, line: usize, text: String) {
        let origin = Origin::File { path: path.to_owned(), line };
        self.faults.push(Fault { key: String::new(), origin, text });
    }
}

/// A count; one too large for this machine is as good as its largest.
pub(super) fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A time.
pub(super) fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// A rate; a number that is too large for one is as good as its largest.
pub(super) fn rate(per_second: u64, burst: u64) -> Rate {
    let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Rate { per_second: part(per_second), burst: part(burst) }
}

/// The number, or nothing for `auto`.
pub(super) fn number_or_auto(key: &str, raw: &RawAuto, check: &mut Check<'_>) -> Option<u64> {
    match raw {
        RawAuto::Number(number) => Some(*number),
        RawAuto::Word(word) if word == "auto" => None,
        RawAuto::Word(word) => {
            let number = word.trim().parse().ok();
            if number.is_none() {
                check.fault(key, format!("expected a number or \"auto\", not {word:?}"));
            }
            number
        }
    }
}
