//! How long payloads are.

use std::fmt;

use anyhow::{Result, ensure};
use serde::{Serialize, Serializer};

use crate::rng::Rng;
use crate::sample::MIN_BYTES;

/// Bytes of an offer, of an answer and of a candidate: from, to.
const OFFER: (usize, usize) = (3000, 8000);
const ANSWER: (usize, usize) = (2000, 4000);
const CANDIDATE: (usize, usize) = (150, 250);
/// Messages of a session: the offer, the answer, ten candidates of each side.
const SESSION: u64 = 22;

/// The sizes of a sender's payloads, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All the same, in bytes.
    Fixed(usize),
    /// As in a session of a browser: an offer of 3 to 8 kB, an answer of 2 to 4 kB, twenty candidates of 150 to 250 bytes,
    /// and then the next session. The text has the escapes of a session description.
    Session,
}

impl Sizes {
    /// # Errors
    /// When payloads would be below [`MIN_BYTES`].
    pub(crate) fn check(self) -> Result<()> {
        let Self::Fixed(bytes) = self else { return Ok(()) };
        ensure!(bytes >= MIN_BYTES, "a payload must have at least {MIN_BYTES} bytes");
        Ok(())
    }

    /// The most that a payload can have.
    pub(crate) fn most(self) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Session => OFFER.1,
        }
    }

    /// Of the payload with this number of this sender; always the same.
    pub(crate) fn of(self, sender: u32, number: u64) -> usize {
        let (from, to) = match (self, number % SESSION) {
            (Self::Fixed(bytes), _) => return bytes,
            (Self::Session, 0) => OFFER,
            (Self::Session, 1) => ANSWER,
            (Self::Session, _) => CANDIDATE,
        };
        from + Rng::new(number.rotate_right(20) ^ u64::from(sender)).below(to - from + 1)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(f, "{bytes} bytes"),
            Self::Session => write!(f, "as in a session"),
        }
    }
}

impl Serialize for Sizes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(bytes) => bytes.serialize(serializer),
            Self::Session => "session".serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_an_offer_an_answer_and_candidates_again_and_again() {
        for sender in 0..50 {
            for number in 0..10 * SESSION {
                let bytes = Sizes::Session.of(sender, number);
                let (from, to) = match number % SESSION {
                    0 => OFFER,
                    1 => ANSWER,
                    _ => CANDIDATE,
                };
                assert!((from..=to).contains(&bytes), "{number}: {bytes}");
                assert_eq!(bytes, Sizes::Session.of(sender, number));
            }
        }
        let offers: Vec<usize> = (0..1000).map(|sender| Sizes::Session.of(sender, 0)).collect();
        let mean = offers.iter().sum::<usize>() / offers.len();
        assert!((5200..5800).contains(&mean), "{mean}");
    }

    #[test]
    fn too_small_a_payload_is_refused() {
        assert!(Sizes::Fixed(MIN_BYTES).check().is_ok() && Sizes::Session.check().is_ok());
        assert!(Sizes::Fixed(MIN_BYTES - 1).check().is_err());
    }
}
