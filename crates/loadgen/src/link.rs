//! One end of a pair: payloads in, payloads out. What is around them is the link's business.

use std::future::Future;

use bytes::Bytes;

use crate::fault::Fault;

pub(crate) mod framed;
pub(crate) mod ws;

/// Payloads taken in one go, and so answered with one write.
pub(crate) const BATCH: usize = 64;

/// A connection that carries payloads both ways.
pub(crate) trait Link: Send + 'static {
    /// Waits for a payload and takes those that are there already, at most [`BATCH`]. Cancel safe as long as `batch` is
    /// kept.
    fn receive(&mut self, batch: &mut Vec<Bytes>) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Queues a payload for the other end.
    fn queue(&mut self, payload: &[u8]) -> Result<(), Fault>;

    /// Writes what is queued.
    fn flush(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Says goodbye, as far as there is such a thing.
    fn close(self) -> impl Future<Output = ()> + Send;
}
