//! What is wrong with a configuration, and where it was written. All faults are shown at once.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use crate::logging::escape::Escaped;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In the named file, at this line (counted from 1).
    File { path: PathBuf, line: usize },
    /// In this environment variable.
    Variable(String),
    /// In this command line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The key, as `section.key`; empty where the fault belongs to no key.
    pub(crate) key: String,
    /// Where it was written.
    pub(crate) origin: Origin,
    /// What is wrong, and what would be right. Never holds a secret.
    pub(crate) text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file of somebody else's may be looked at.
        let mut f = Escaped(f);
        match (&self.origin, self.key.is_empty()) {
            (Origin::Default, true) => write!(f, "{}", self.text),
            (Origin::Default, false) => write!(f, "{}: {}", self.key, self.text),
            (origin, true) => write!(f, "{} ({origin})", self.text),
            (origin, false) => write!(f, "{}: {} ({origin})", self.key, self.text),
        }
    }
}

/// All faults of one configuration, in the order they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault; the first fault of a key hides later ones, which only follow from it.
    /// Tells whether it was added.
    pub(crate) fn push(&mut self, fault: Fault) -> bool {
        let known = !fault.key.is_empty() && self.0.iter().any(|other| other.key == fault.key);
        if !known {
            self.0.push(fault);
        }
        !known
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value if there is no fault.
    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "the configuration has 1 fault:")?,
            count => writeln!(f, "the configuration has {count} faults:")?,
        }
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}
