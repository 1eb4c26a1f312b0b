//! What goes wrong, by kind.

use std::collections::BTreeMap;
use std::io::{Error as IoError, ErrorKind};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A longer code in an error of the server is none.
const CODE_BYTES: usize = 40;

/// Something that a server with nothing to hide does not do. It ends the pair it happens to.
#[derive(Clone, Debug, Error)]
pub enum Fault {
    /// No connection, or no WebSocket.
    #[error("{text}")]
    Connect {
        /// Why, as a word.
        kind: &'static str,
        /// Why, in words.
        text: String,
    },
    /// HTTP instead of a WebSocket.
    #[error("HTTP status {0} instead of a WebSocket")]
    Status(u16),
    /// The server sent an error.
    #[error("{text}")]
    Server {
        /// Its `cuttlebone_code`, if it had one.
        code: Option<String>,
        /// What it said.
        text: String,
    },
    /// The server closed the connection.
    #[error("closed with {0:?}")]
    Closed(Option<u16>),
    /// The connection broke.
    #[error("{0}")]
    Cut(String),
    /// A message that is none of the protocol's.
    #[error("{0}")]
    Protocol(String),
    /// A payload did not come back as it was sent.
    #[error("not as it was sent")]
    Altered,
    /// A payload of another sender.
    #[error("sent by {0}, who is somebody else")]
    Misdelivered(u32),
    /// A payload was lost, doubled or overtaken.
    #[error("expected number {expected}, got {got}")]
    Order {
        /// The next of the sequence.
        expected: u64,
        /// What came.
        got: u64,
    },
    /// No answer to the first message of a connection, or to the last ones before the end.
    #[error("{0} without an answer")]
    Unanswered(u64),
}

impl Fault {
    /// No TCP connection, or none with TLS.
    pub(crate) fn connect(error: &IoError) -> Self {
        let kind = match error.kind() {
            ErrorKind::ConnectionRefused => "connect_refused",
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => "connect_reset",
            ErrorKind::TimedOut => "connect_timed_out",
            ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => "connect_no_port",
            _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => "connect_no_descriptor",
            _ => "connect",
        };
        Self::Connect { kind, text: error.to_string() }
    }

    /// The kind, for counting. A status, a close code and a code of the server are kinds of their own.
    pub fn kind(&self) -> String {
        match self {
            Self::Connect { kind, .. } => (*kind).into(),
            Self::Status(status) => format!("http_{status}"),
            Self::Server { code: Some(code), .. } if is_word(code) => format!("error_{code}"),
            Self::Server { .. } => "server_error".into(),
            Self::Closed(Some(code)) => format!("closed_{code}"),
            Self::Closed(None) => "closed".into(),
            Self::Cut(_) => "cut".into(),
            Self::Protocol(_) => "protocol".into(),
            Self::Altered => "altered".into(),
            Self::Misdelivered(_) => "misdelivered".into(),
            Self::Order { .. } => "order".into(),
            Self::Unanswered(_) => "unanswered".into(),
        }
    }
}

/// Whether this may become part of the name of a kind.
fn is_word(code: &str) -> bool {
    !code.is_empty() && code.len() <= CODE_BYTES && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Faults of one kind.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FaultCount {
    /// How many.
    pub count: u64,
    /// The first of them in words.
    pub example: String,
}

/// Faults by kind.
pub type Faults = BTreeMap<String, FaultCount>;

/// Adds one.
pub(crate) fn count(faults: &mut Faults, fault: &Fault) {
    let entry = faults.entry(fault.kind()).or_default();
    if entry.count == 0 {
        entry.example = fault.to_string();
    }
    entry.count += match fault {
        Fault::Unanswered(n) => *n,
        _ => 1,
    };
}

/// Adds those of another.
pub(crate) fn add(faults: &mut Faults, more: &Faults) {
    for (kind, more) in more {
        let entry = faults.entry(kind.clone()).or_insert_with(|| FaultCount { count: 0, ..more.clone() });
        entry.count += more.count;
    }
}

/// How many there are of all kinds.
pub fn total(faults: &Faults) -> u64 {
    faults.values().map(|fault| fault.count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_is_the_example() {
        let mut faults = Faults::new();
        count(&mut faults, &Fault::Cut("a".into()));
        count(&mut faults, &Fault::Cut("b".into()));
        count(&mut faults, &Fault::Unanswered(3));
        assert_eq!((faults["cut"].count, faults["cut"].example.as_str()), (2, "a"));
        assert_eq!(total(&faults), 5);
    }

    #[test]
    fn faults_of_two_are_added_up() {
        let (mut faults, mut more) = (Faults::new(), Faults::new());
        count(&mut faults, &Fault::Cut("a".into()));
        count(&mut more, &Fault::Cut("b".into()));
        count(&mut more, &Fault::Closed(Some(1012)));
        add(&mut faults, &more);
        assert_eq!((faults["cut"].count, faults["cut"].example.as_str()), (2, "a"));
        assert_eq!(faults["closed_1012"].count, 1);
    }

    #[test]
    fn refusals_are_told_apart() {
        let server = |code: &str| Fault::Server { code: Some(code.into()), text: "x".into() };
        let refused = IoError::from(ErrorKind::ConnectionRefused);
        for (fault, kind) in [
            (Fault::Status(429), "http_429"),
            (Fault::Status(503), "http_503"),
            (Fault::Closed(Some(4029)), "closed_4029"),
            (server("rate_limited"), "error_rate_limited"),
            (server("No code at all"), "server_error"),
            (server(&"a".repeat(41)), "server_error"),
            (Fault::connect(&refused), "connect_refused"),
            (Fault::connect(&rustix::io::Errno::MFILE.into()), "connect_no_descriptor"),
        ] {
            assert_eq!(fault.kind(), kind);
        }
    }
}
