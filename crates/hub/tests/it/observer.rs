//! What the hub reports of itself is what happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cuttlebone_hub::{Observer, ResumeOutcome, Settings};

use crate::peer::{Peer, registry_heard_by, token};

#[derive(Default)]
struct Heard {
    returned: AtomicUsize,
    taken_over: AtomicUsize,
    refused: AtomicUsize,
}

impl Observer for Heard {
    fn returned(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }

    fn taken_over(&self) {
        self.taken_over.fetch_add(1, Ordering::Relaxed);
    }

    fn resumed(&self, outcome: ResumeOutcome) {
        self.refused.fetch_add(usize::from(outcome == ResumeOutcome::Refused), Ordering::Relaxed);
    }
}

#[test]
fn a_device_that_comes_back_changed_has_not_returned() {
    let heard = Arc::new(Heard::default());
    let hub = registry_heard_by(heard.clone(), Settings::default());
    let mut counts = Vec::new();
    let mut device = Peer::registered(&hub, "1");
    for info in ["1", "2"] {
        device.seat.on_broken(device.now);
        device = Peer::registered(&hub, info);
        counts.push((heard.returned.load(Ordering::Relaxed), heard.taken_over.load(Ordering::Relaxed)));
    }
    let _rival = Peer::registered(&hub, "3");
    counts.push((heard.returned.load(Ordering::Relaxed), heard.taken_over.load(Ordering::Relaxed)));
    assert_eq!(counts, [(1, 0), (1, 0), (1, 1)]);
}

#[test]
fn a_client_that_may_not_resume_because_too_many_are_there_was_refused() {
    let heard = Arc::new(Heard::default());
    let hub = registry_heard_by(heard.clone(), Settings { clients_per_device: 1, ..Settings::default() });
    let _device = Peer::registered(&hub, "1");
    let mut client = Peer::resuming(&hub, "true");
    let token = token(&client.received()[1]);
    client.seat.on_broken(client.now);
    let _other = Peer::attached(&hub);
    Peer::resuming(&hub, &format!(r#""{token}","cuttlebone_received":0"#));
    assert_eq!(heard.refused.load(Ordering::Relaxed), 1);
}
