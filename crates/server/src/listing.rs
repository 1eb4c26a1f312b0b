//! Devices as the HTTP API shows them, one and all.
//!
//! Invariants: 1. what is written without letting others work is bounded in entries and in bytes; 2. one listing is written at
//! a time, and everybody who sees everything, and asked before it was begun, gets the same one.

use axum::body::Bytes;
use cuttlebone_hub::{DeviceSummary, Realm, Registry};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::yield_now;

use crate::caller::Caller;

/// How many entries are written before other tasks get a turn.
const ENTRIES_AT_ONCE: usize = 256;

/// How many bytes are written before other tasks get a turn.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// What stands before and after the array in a server-sent event.
const HEAD: &str = "event: snapshot\ndata: ";
const TAIL: &str = "\n\n";

/// One entry of `/devices`. Fields that nobody told the server about are empty, as in the published API.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    device_id: &'a str,
    group_name: &'static str,
    owner: &'static str,
    name: &'static str,
    adb_port: u16,
    cuttlebone_viewers: usize,
    cuttlebone_registered_at_ms: u64,
    /// Only there while the device's connection is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    cuttlebone_away: Option<bool>,
}

impl<'a> Entry<'a> {
    pub(crate) fn of(device: &'a DeviceSummary) -> Self {
        Self {
            device_id: device.address.device_id.as_str(),
            group_name: "",
            owner: "",
            name: "",
            adb_port: device.adb_port,
            cuttlebone_viewers: device.viewers,
            cuttlebone_registered_at_ms: device.registered_at_ms,
            cuttlebone_away: device.away.then_some(true),
        }
    }
}

/// The entry and `registration_info`, which is what the device registered with, byte for byte.
pub(crate) fn detail(device: &DeviceSummary) -> String {
    let mut text = serde_json::to_string(&Entry::of(device)).unwrap_or_default();
    text.pop();
    text.push_str(",\"registration_info\":");
    text.push_str(&device.info);
    text.push('}');
    text
}

/// The listing of the moment, shared by all who ask for it.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    newest: Mutex<Option<(u64, Listing)>>,
    turn: tokio::sync::Mutex<()>,
}

impl Listings {
    /// The devices that the caller may know of, at least as new as the call. Those who see all that belong to no tenant share
    /// a listing; for anybody else one is written each time.
    pub(crate) async fn seen_by(&self, caller: &Caller, registry: &Registry) -> Listing {
        if caller.sees_all_common() {
            return self.current(registry).await;
        }
        let _turn = self.turn.lock().await;
        let mut devices = registry.list();
        devices.retain(|device| caller.may_see(&device.address));
        Listing::of(&devices).await
    }

    /// All devices that belong to no tenant.
    ///
    /// Relies on [`Registry::version`] growing before the change that it stands for can be seen to be complete: what is
    /// listed after reading a version has all that the version counts. Cancel safe.
    async fn current(&self, registry: &Registry) -> Listing {
        let wanted = registry.version();
        if let Some(listing) = self.known(wanted) {
            return listing;
        }
        let _turn = self.turn.lock().await;
        if let Some(listing) = self.known(wanted) {
            return listing;
        }
        let version = registry.version();
        let mut devices = registry.list();
        devices.retain(|device| device.address.realm == Realm::Common);
        let listing = Listing::of(&devices).await;
        *self.newest.lock() = Some((version, listing.clone()));
        listing
    }

    fn known(&self, wanted: u64) -> Option<Listing> {
        self.newest.lock().as_ref().filter(|(version, _)| *version >= wanted).map(|(_, listing)| listing.clone())
    }
}

/// All devices as text, in the order of their ids. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Listing(Bytes);

impl Listing {
    async fn of(devices: &[DeviceSummary]) -> Self {
        let mut text = format!("{HEAD}[").into_bytes();
        let mut turn = (0, 0);
        for (index, device) in devices.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(&serde_json::to_vec(&Entry::of(device)).unwrap_or_default());
            if index - turn.0 >= ENTRIES_AT_ONCE || text.len() - turn.1 >= BYTES_AT_ONCE {
                turn = (index, text.len());
                yield_now().await;
            }
        }
        text.push(b']');
        text.extend_from_slice(TAIL.as_bytes());
        Self(text.into())
    }

    /// A JSON array of all entries.
    pub(crate) fn array(&self) -> Bytes {
        self.0.slice(HEAD.len()..self.0.len() - TAIL.len())
    }

    /// The server-sent event that replaces all that a stream was told before.
    pub(crate) fn block(&self) -> Bytes {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::settings::Settings;
    use cuttlebone_hub::Address;
    use cuttlebone_proto::DeviceId;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn device(info: &str) -> DeviceSummary {
        DeviceSummary {
            address: Address { device_id: DeviceId::new("cvd-1").expect("valid"), realm: Realm::Common },
            info: info.into(),
            viewers: 3,
            registered_at_ms: 17,
            adb_port: 6520,
            away: false,
            lease: None,
        }
    }

    #[test]
    fn entry_has_the_published_fields_and_ours() {
        let device = device(r#"{"adb_port":6520}"#);
        let expected = r#"{"device_id":"cvd-1","group_name":"","owner":"","name":"","adb_port":6520,"cuttlebone_viewers":3,"cuttlebone_registered_at_ms":17}"#;
        assert_eq!(serde_json::to_string(&Entry::of(&device)).expect("json"), expected);
    }

    #[test]
    fn detail_repeats_device_info_byte_for_byte() {
        let info = "{ \"b\":1e999,\"a\" : \"\\ud800\", \"a\":123456789012345678901234567890 }";
        let text = detail(&device(info));
        assert!(
            text.ends_with(&format!("\"cuttlebone_registered_at_ms\":17,\"registration_info\":{info}}}")),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_listing_is_shared_while_nothing_changes() {
        let app = App::for_test(Settings::default());
        let listing = app.listings.current(&app.registry).await;
        let (array, block) = (listing.array(), listing.block());
        let again = app.listings.current(&app.registry).await;
        assert_eq!((array.as_ptr(), block.as_ptr()), (again.array().as_ptr(), again.block().as_ptr()));
    }

    #[test]
    fn an_older_listing_is_not_what_is_wanted() {
        let listings = Listings::default();
        *listings.newest.lock() = Some((7, Listing(Bytes::from_static(b"old"))));
        assert!(listings.known(6).is_some() && listings.known(7).is_some());
        assert!(listings.known(8).is_none());
    }

    /// How often others get a turn while this is written.
    fn turns(devices: &[DeviceSummary]) -> usize {
        let mut written = pin!(Listing::of(devices));
        let mut turns = 0;
        while written.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            turns += 1;
        }
        turns
    }

    #[test]
    fn others_get_a_turn_by_entries_and_by_bytes() {
        assert_eq!(turns(&vec![device("1"); 100]), 0);
        assert_eq!(turns(&vec![device("1"); ENTRIES_AT_ONCE * 3]), 2);
        let mut long = device("1");
        long.address.device_id = DeviceId::new(&"\"".repeat(250)).expect("valid");
        let entry = serde_json::to_vec(&Entry::of(&long)).expect("json").len();
        assert_eq!(turns(&vec![long; ENTRIES_AT_ONCE]), ENTRIES_AT_ONCE * entry / BYTES_AT_ONCE);
    }

    #[test]
    fn the_array_is_the_data_of_the_block() {
        let devices = [device("1"), device("2")];
        let mut written = pin!(Listing::of(&devices));
        let Poll::Ready(listing) = written.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing to wait for")
        };
        let array = String::from_utf8(listing.array().to_vec()).expect("text");
        assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&array).expect("json").len(), 2);
        assert_eq!(listing.block(), format!("event: snapshot\ndata: {array}\n\n"));
    }
}
