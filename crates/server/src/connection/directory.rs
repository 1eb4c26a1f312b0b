//! Answers that take their time.

use cuttlebone_hub::{Answer, Probe, Registry, Resolution};
use tokio::time::timeout;

use crate::clock;

/// Waits until the holder of a device id has answered, or for as long as it may take, and goes on with the registration.
pub(super) async fn conclude(registry: Registry, mut probe: Probe) -> Answer {
    loop {
        let answered = timeout(registry.settings().probe, &mut probe.answered).await;
        match registry.conclude(probe, matches!(answered, Ok(Ok(()))), clock::unix_ms()) {
            Resolution::Answer(answer) => return answer,
            Resolution::Probe(next) => probe = next,
        }
    }
}
