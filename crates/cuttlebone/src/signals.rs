//! SIGTERM and SIGINT stop the program, a second one stops it at once; SIGHUP reloads.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal, as a shell gives it for SIGINT.
const INTERRUPTED: i32 = 130;

/// The signals we listen to. Made before the program says that it is up, so that none is missed.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts listening.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Cancels `stop` at the first signal to stop and exits the process at the second; calls `reload`
    /// for each SIGHUP. Runs until it is dropped.
    pub(crate) async fn watch(mut self, stop: CancellationToken, mut reload: impl FnMut()) {
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => stop_or_exit(&stop),
                Some(()) = self.interrupt.recv() => stop_or_exit(&stop),
                Some(()) = self.hangup.recv() => reload(),
                else => return,
            }
        }
    }
}

fn stop_or_exit(stop: &CancellationToken) {
    if stop.is_cancelled() {
        tracing::warn!("second signal: stopping at once");
        crate::audit::flush();
        crate::logging::flush();
        std::process::exit(INTERRUPTED);
    }
    tracing::info!("told to stop; a second signal stops at once");
    stop.cancel();
}
