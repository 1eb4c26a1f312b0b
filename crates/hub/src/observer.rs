//! What the hub reports of itself, for metrics.

use cuttlebone_proto::{ClientId, Reject};

/// Which way a payload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From a client to its device.
    ToDevice,
    /// From a device to one of its clients.
    ToClient,
}

/// What came of a client's wish to go on with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResumeOutcome {
    /// It goes on, and nothing is lost.
    Complete,
    /// It keeps its id; what was under way may be lost.
    Uncounted,
    /// It can't.
    Refused,
}

/// Hears of what happens in the hub. Every method is called with no lock held for long and must not block.
pub trait Observer: Send + Sync {
    /// A message was queued for the other side; `bytes` of it as it is sent.
    fn forwarded(&self, direction: Direction, bytes: usize) {
        let _ = (direction, bytes);
    }
    /// A peer was refused something.
    fn rejected(&self, reject: &Reject) {
        let _ = reject;
    }
    /// A client found its device's queue full and is not read until there is room.
    fn paused(&self) {}
    /// A payload was queued for a device whose connection is broken.
    fn held(&self) {}
    /// A device came back within its grace period.
    fn returned(&self) {}
    /// A client asked to go on with its session.
    fn resumed(&self, outcome: ResumeOutcome) {
        let _ = outcome;
    }
    /// There was no room, in queues or at the device, to expect a client that it has kept from an earlier process: that is gone for
    /// good.
    fn not_expected(&self, client_id: ClientId) {
        let _ = client_id;
    }
    /// A registration took an id over from a connection that did not answer.
    fn taken_over(&self) {}
}

/// Hears nothing.
#[derive(Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
