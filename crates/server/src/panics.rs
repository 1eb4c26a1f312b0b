//! Faults of our own: they end one connection, are counted (see [`crate::tasks`]), and say where but never with what.

use std::panic;

/// Makes every panic of this process log its location only: a message may quote what a peer sent.
///
/// To be called once by the binary, before anything is served.
pub fn log_location_only() {
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "a task ended in a fault of the server");
    }));
}
