//! What the protocol says to what the transport does not take.

use cuttlebone_proto::Reject;
use cuttlebone_transport::Violation;

/// What the protocol says to a violation; `None` where it has no words for it.
pub(super) const fn reject(violation: Violation) -> Option<Reject> {
    match violation {
        Violation::NotUtf8 => Some(Reject::NotUtf8),
        Violation::TooLarge => Some(Reject::MessageTooLarge),
        Violation::TooManyFragments => Some(Reject::TooManyFragments),
        Violation::ControlFlood => Some(Reject::TooManyControlFrames),
        Violation::RateExceeded => Some(Reject::RateLimited),
        Violation::Protocol => None,
    }
}
