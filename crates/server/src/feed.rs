//! Changes of the device list, written once for all who watch.
//!
//! One task turns the hub's events into blocks of server-sent events. Invariant: a stream that subscribes first and lists
//! second misses nothing, whatever the task leaves out while nobody is subscribed.

use std::sync::Arc;

use axum::body::Bytes;
use cuttlebone_hub::{Address, Event, Registry};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::listing::Entry;

/// What a stream of events is told.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// One block, to be sent as it is to whoever may know of the device.
    Block {
        /// The device.
        address: Address,
        /// The block.
        block: Bytes,
    },
    /// Something was missed: list again.
    Gap,
}

/// The sending side, shared by the task and by those who subscribe.
#[derive(Debug)]
pub(crate) struct Feed {
    changes: broadcast::Sender<Change>,
}

impl Feed {
    /// `buffer`: how many changes a stream may be behind.
    pub(crate) fn new(buffer: usize) -> Self {
        Self { changes: broadcast::Sender::new(buffer) }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Passes the hub's events on until `stop`.
    pub(crate) async fn run(&self, registry: &Arc<Registry>, stop: &CancellationToken) {
        let mut events = registry.subscribe();
        while let Some(received) = stop.run_until_cancelled(events.recv()).await {
            let change = match received {
                Ok(_) if self.changes.receiver_count() == 0 => continue,
                Ok(event) => render(event),
                Err(RecvError::Lagged(_)) => Change::Gap,
                Err(RecvError::Closed) => return,
            };
            self.send(change);
        }
    }

    /// To all who are subscribed; the last may just have left.
    pub(crate) fn send(&self, change: Change) {
        let _ = self.changes.send(change);
    }
}

#[derive(Serialize)]
struct Gone<'a> {
    device_id: &'a str,
}

#[derive(Serialize)]
struct Viewers<'a> {
    device_id: &'a str,
    cuttlebone_viewers: usize,
}

fn render(event: Event) -> Change {
    let (address, block) = match event {
        Event::Registered(device) => {
            let block = block("registered", &Entry::of(&device));
            (device.address, block)
        }
        Event::Gone(address) => {
            let block = block("gone", &Gone { device_id: address.device_id.as_str() });
            (address, block)
        }
        Event::Viewers { address, viewers } => {
            let data = Viewers { device_id: address.device_id.as_str(), cuttlebone_viewers: viewers };
            let block = block("viewers", &data);
            (address, block)
        }
    };
    Change::Block { address, block }
}

/// One server-sent event. JSON has no newline outside of strings here, and none inside them ever.
fn block(name: &str, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_hub::Realm;
    use cuttlebone_proto::DeviceId;

    #[test]
    fn events_are_one_line_of_json_each() {
        let id = DeviceId::new("a\"\u{2028}</script>").expect("valid");
        let address = Address { device_id: id, realm: Realm::Common };
        let render = |event| if let Change::Block { block, .. } = super::render(event) { block } else { Bytes::new() };
        let viewers = render(Event::Viewers { address: address.clone(), viewers: 2 });
        let expected = "event: viewers\ndata: {\"device_id\":\"a\\\"\u{2028}</script>\",\"cuttlebone_viewers\":2}\n\n";
        assert_eq!(viewers, expected);
        let gone = render(Event::Gone(address));
        assert_eq!(gone.iter().filter(|byte| **byte == b'\n').count(), 3);
    }
}
