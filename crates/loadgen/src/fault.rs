//! What goes wrong, by kind.

use std::collections::BTreeMap;

use serde::Serialize;
use thiserror::Error;

/// Something that a server with nothing to hide does not do. It ends the pair it happens to.
#[derive(Debug, Error)]
pub enum Fault {
    /// No connection, or no WebSocket.
    #[error("{0}")]
    Connect(String),
    /// The server sent an error.
    #[error("{0}")]
    Server(String),
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
    /// The kind, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Server(_) => "server_error",
            Self::Closed(_) => "closed",
            Self::Cut(_) => "cut",
            Self::Protocol(_) => "protocol",
            Self::Altered => "altered",
            Self::Order { .. } => "order",
            Self::Unanswered(_) => "unanswered",
        }
    }
}

/// Faults of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FaultCount {
    /// How many.
    pub count: u64,
    /// The first of them in words.
    pub example: String,
}

/// Faults by kind.
pub type Faults = BTreeMap<&'static str, FaultCount>;

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
}
