//! Changes of the device list, written once for all who watch.
//!
//! One task turns the hub's events into blocks of server-sent events. Invariant: a stream that subscribes first and lists
//! second misses nothing, whatever the task leaves out while nobody is subscribed.

use std::sync::Arc;

use axum::body::Bytes;
use cuttlebone_hub::{Address, Event, Realm, Registry};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::caller::View;
use crate::listing::{Entry, LeaseEntry, tenant_in};

/// What a stream of events is told.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// One block, to be sent as it is to whoever may know of the device.
    Block {
        /// The device.
        address: Address,
        /// The block.
        block: Bytes,
        /// The same for an operator: with the tenant.
        for_operators: Bytes,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    cuttlebone_tenant: Option<&'a str>,
}

#[derive(Serialize)]
struct Viewers<'a> {
    device_id: &'a str,
    cuttlebone_viewers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cuttlebone_tenant: Option<&'a str>,
}

#[derive(Serialize)]
struct Leased<'a> {
    device_id: &'a str,
    /// `null` where nobody has the device for itself any more.
    cuttlebone_lease: Option<LeaseEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cuttlebone_tenant: Option<&'a str>,
}

fn render(event: Event) -> Change {
    let own = View::Of(event.address().realm.clone());
    let block = render_for(&event, &own);
    let for_operators = if own == View::Of(Realm::Common) { block.clone() } else { render_for(&event, &View::All) };
    Change::Block { address: event.into_address(), block, for_operators }
}

fn render_for(event: &Event, view: &View) -> Bytes {
    let device_id = event.address().device_id.as_str();
    let cuttlebone_tenant = tenant_in(view, &event.address().realm);
    match event {
        Event::Registered(device) => block("registered", &Entry::seen_in(device, view)),
        Event::Gone(_) => block("gone", &Gone { device_id, cuttlebone_tenant }),
        Event::Viewers { viewers, .. } => {
            block("viewers", &Viewers { device_id, cuttlebone_viewers: *viewers, cuttlebone_tenant })
        }
        Event::Leased { lease, .. } => {
            let cuttlebone_lease = lease.as_ref().map(LeaseEntry::of);
            block("lease", &Leased { device_id, cuttlebone_lease, cuttlebone_tenant })
        }
    }
}

/// One server-sent event. JSON has no newline outside of strings here, and none inside them ever.
fn block(name: &str, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_proto::DeviceId;

    #[test]
    fn events_are_one_line_of_json_each() {
        let id = DeviceId::new("a\"\u{2028}</script>").expect("valid");
        let address = Address { device_id: id, realm: Realm::Common };
        let render = |event| if let Change::Block { block, .. } = super::render(event) { block } else { Bytes::new() };
        let viewers = render(Event::Viewers { address: address.clone(), viewers: 2 });
        let expected = "event: viewers\ndata: {\"device_id\":\"a\\\"\u{2028}</script>\",\"cuttlebone_viewers\":2}\n\n";
        assert_eq!(viewers, expected);
        let gone = render(Event::Gone(address.clone()));
        assert_eq!(gone.iter().filter(|byte| **byte == b'\n').count(), 3);
        let over = render(Event::Leased {
            address: Address { device_id: DeviceId::new("d").expect("valid"), ..address },
            lease: None,
        });
        assert_eq!(over, "event: lease\ndata: {\"device_id\":\"d\",\"cuttlebone_lease\":null}\n\n");
    }
}
