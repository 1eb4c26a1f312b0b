//! One end of a pair: payloads in, payloads out. What is around them is the link's business.

use std::future::Future;

use bytes::Bytes;

use crate::fault::Fault;

pub(crate) mod dial;
pub(crate) mod framed;
pub(crate) mod ws;

/// Payloads taken in one go, and so answered with one write.
pub(crate) const BATCH: usize = 64;

/// A payload, and the number of the client it is from. What a client gets has the number 0: there is only one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) from: u32,
    pub(crate) payload: Bytes,
}

/// A connection that carries payloads both ways.
pub(crate) trait Link: Send + 'static {
    /// Writes what is queued, waits for a payload and takes those that are there already, at most [`BATCH`]. What can't be
    /// written at once is written while it waits, so that two ends with full buffers can't wait for each other. Cancel
    /// safe as long as `batch` is kept.
    fn receive(&mut self, batch: &mut Vec<Incoming>) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Queues a payload for the other end. A device names the client; the number of a client is not looked at.
    fn queue(&mut self, to: u32, payload: &[u8]) -> Result<(), Fault>;

    /// Writes what is queued.
    fn flush(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Says goodbye, as far as there is such a thing.
    fn close(self) -> impl Future<Output = ()> + Send;
}
