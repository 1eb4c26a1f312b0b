//! The end of the program waits until what is queued for a thread that writes is written, but not for long.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// How long, for each queue.
pub(crate) const LAST_WRITE: Duration = Duration::from_millis(500);

/// Waits until everything that is in the queue so far is written, or for as long as it may take. `mark` makes an entry of what the
/// thread drops when everything before it is written.
pub(crate) fn wait_written<E>(queue: &SyncSender<E>, longest: Duration, mark: impl FnOnce(SyncSender<()>) -> E) {
    let (done, written) = sync_channel(0);
    let mut entry = mark(done);
    let step = Duration::from_millis(5);
    let mut left = longest;
    while let Err(TrySendError::Full(back)) = queue.try_send(entry) {
        if left < step {
            return;
        }
        entry = back;
        left -= step;
        thread::sleep(step);
    }
    // It is never sent: the answer is that the other end is gone.
    let _ = written.recv_timeout(left);
}
