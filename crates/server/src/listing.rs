//! Devices as the HTTP API shows them, one and all.
//!
//! Invariants: 1. what is looked at and written without letting others work is bounded in entries and in bytes; 2. one listing is
//! written at a time, of each view in turn and in that of each reader, and everybody who sees everything in the same view, and asked before it was begun, gets
//! the same one; 3. what is written and still there, because it is not read or is kept, is bounded in bytes.

mod budget;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use cuttlebone_hub::{DeviceSummary, Lease, Realm, Registry};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::yield_now;

use crate::caller::{Caller, View};
use budget::{Budget, Reader, Share, Who};

/// How many entries are written before other tasks get a turn.
const ENTRIES_AT_ONCE: usize = 256;

/// How many devices are looked at, whether they are to be told of, before other tasks get a turn.
const LOOKED_AT_ONCE: usize = 64;

/// How many bytes are written before other tasks get a turn.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// What stands before and after the array in a server-sent event.
const HEAD: &str = "event: snapshot\ndata: ";
const TAIL: &str = "\n\n";

/// Listings that are kept: one for each view that was asked for last.
const KEPT: usize = 64;

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
    /// Only there while somebody has the device for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    cuttlebone_lease: Option<LeaseEntry<'a>>,
    /// Only there for an operator, who sees those of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    cuttlebone_tenant: Option<&'a str>,
}

/// Who has a device for itself, and until when.
#[derive(Debug, Serialize)]
pub(crate) struct LeaseEntry<'a> {
    holder: &'a str,
    until_ms: u64,
}

impl<'a> LeaseEntry<'a> {
    pub(crate) fn of(lease: &'a Lease) -> Self {
        Self { holder: &lease.name, until_ms: lease.until_ms }
    }
}

impl<'a> Entry<'a> {
    /// The entry as those see it whose tenant the device is of.
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
            cuttlebone_lease: device.lease.as_ref().map(LeaseEntry::of),
            cuttlebone_tenant: None,
        }
    }

    /// The entry as it stands in this view.
    pub(crate) fn seen_in(device: &'a DeviceSummary, view: &View) -> Self {
        Self { cuttlebone_tenant: tenant_in(view, &device.address.realm), ..Self::of(device) }
    }
}

/// The tenant of a device, for those who see the devices of several.
pub(crate) fn tenant_in<'a>(view: &View, realm: &'a Realm) -> Option<&'a str> {
    match (view, realm) {
        (View::All, Realm::Tenant(tenant)) => Some(tenant),
        _ => None,
    }
}

/// The entry and `registration_info`, which is what the device registered with, byte for byte.
fn detail(device: &DeviceSummary) -> String {
    let mut text = serde_json::to_string(&Entry::of(device)).unwrap_or_default();
    text.pop();
    let name = ",\"registration_info\":";
    text.reserve_exact(name.len() + device.info.len() + 1);
    text.push_str(name);
    text.push_str(&device.info);
    text.push('}');
    text
}

/// The listings of the moment, each shared by all who see the same.
#[derive(Debug)]
pub(crate) struct Listings {
    newest: Mutex<HashMap<View, (u64, Listing)>>,
    turns: Turns,
    budget: Arc<Budget>,
}

/// Who may write. However many lists one reader wants, one of them waits among those of its view; and however many wait in one
/// view, one of them among all.
#[derive(Debug, Default)]
struct Turns {
    all: tokio::sync::Mutex<()>,
    views: Lines<View>,
    readers: Lines<Reader>,
}

/// The lines in which somebody waits; others are there until they are too many.
#[derive(Debug)]
struct Lines<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

/// As long as it is there, nobody else writes.
struct Turn<'a> {
    _of_all: tokio::sync::MutexGuard<'a, ()>,
    _of_view: tokio::sync::OwnedMutexGuard<()>,
    _of_reader: tokio::sync::OwnedMutexGuard<()>,
}

impl Turns {
    /// Cancel safe.
    async fn take(&self, reader: &Reader) -> Turn<'_> {
        let of_reader = self.readers.first(reader).await;
        let of_view = self.views.first(&reader.view).await;
        Turn { _of_all: self.all.lock().await, _of_view: of_view, _of_reader: of_reader }
    }
}

impl<K: Eq + Hash + Clone> Lines<K> {
    /// Waits to be the first in a line.
    async fn first(&self, key: &K) -> tokio::sync::OwnedMutexGuard<()> {
        let line = {
            let mut lines = self.0.lock();
            if lines.len() == lines.capacity() {
                lines.retain(|_, line| Arc::strong_count(line) > 1);
                let most = 2 * lines.len();
                lines.shrink_to(most);
            }
            Arc::clone(lines.entry(key.clone()).or_default())
        };
        line.lock_owned().await
    }
}

impl<K> Default for Lines<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// As many listings are not read yet as there may be.
#[derive(Debug)]
pub(crate) struct TooManyUnread;

impl Listings {
    /// Those that are there may come to so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { newest: Mutex::default(), turns: Turns::default(), budget: Budget::new(most) }
    }

    /// What those that are there come to, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.budget.bytes()
    }

    /// The devices that the caller, at this address, may know of, at least as new as the call. Waits: the caller may be shut out
    /// meanwhile. Those who see everything in their view share a listing; for anybody else one is written each time, and where
    /// others do not read what is shared.
    pub(crate) async fn seen_by(
        &self,
        (caller, address): (&Caller, IpAddr),
        registry: &Registry,
    ) -> Result<Listing, TooManyUnread> {
        let view = caller.view();
        if caller.sees_all()
            && let Ok(shared) = self.current(view.clone(), registry).await
        {
            return Ok(shared);
        }
        let reader = Reader::of(caller, address);
        let _turn = self.turns.take(&reader).await;
        let mut devices = Vec::new();
        for (index, device) in registry.list().into_iter().enumerate() {
            if index % LOOKED_AT_ONCE == LOOKED_AT_ONCE - 1 {
                yield_now().await;
            }
            devices.extend(Some(device).filter(|device| caller.may_see(&device.address)));
        }
        let text = write(&devices, &view).await;
        self.within_budget(reader, text).map(Listing)
    }

    /// Nothing is written as long as this is there.
    #[cfg(test)]
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turns.all.lock().await
    }

    /// One device, with what it registered with, for the caller at this address.
    pub(crate) fn one(
        &self,
        (caller, address): (&Caller, IpAddr),
        device: &DeviceSummary,
    ) -> Result<Bytes, TooManyUnread> {
        self.within_budget(Reader::of(caller, address), detail(device).into_bytes())
    }

    /// All devices in a view.
    ///
    /// Relies on [`Registry::version`] growing before the change that it stands for can be seen to be complete: what is
    /// listed after reading a version has all that the version counts. Cancel safe.
    async fn current(&self, view: View, registry: &Registry) -> Result<Listing, TooManyUnread> {
        let wanted = registry.version();
        if let Some(listing) = self.known(&view, wanted) {
            return Ok(listing);
        }
        let reader = Reader { view: view.clone(), who: Who::All };
        let _turn = self.turns.take(&reader).await;
        if let Some(listing) = self.known(&view, wanted) {
            return Ok(listing);
        }
        let version = registry.version();
        let mut devices = registry.list();
        devices.retain(|device| view.has(&device.address.realm));
        let text = write(&devices, &view).await;
        // It takes the place of the one before.
        self.newest.lock().remove(&view);
        let listing = Listing(self.within_budget(reader, text)?);
        self.keep(view, version, &listing);
        Ok(listing)
    }

    /// Those that are kept make room.
    fn within_budget(&self, reader: Reader, text: Vec<u8>) -> Result<Bytes, TooManyUnread> {
        let mut share = self.budget.take(reader.clone(), text.capacity());
        if share.is_none() {
            self.newest.lock().clear();
            share = self.budget.take(reader, text.capacity());
        }
        share.map(|share| Bytes::from_owner(Text { text, _share: share })).ok_or(TooManyUnread)
    }

    fn known(&self, view: &View, wanted: u64) -> Option<Listing> {
        let newest = self.newest.lock();
        newest.get(view).filter(|(version, _)| *version >= wanted).map(|(_, listing)| listing.clone())
    }

    /// Of too many, the oldest is forgotten.
    fn keep(&self, view: View, version: u64, listing: &Listing) {
        let mut newest = self.newest.lock();
        if newest.len() >= KEPT && !newest.contains_key(&view) {
            let oldest = newest.iter().min_by_key(|(_, (version, _))| *version).map(|(view, _)| view.clone());
            oldest.map(|oldest| newest.remove(&oldest));
        }
        newest.insert(view, (version, listing.clone()));
    }
}

/// Writes the event of a listing, in the order of the devices.
async fn write(devices: &[DeviceSummary], view: &View) -> Vec<u8> {
    let mut text = format!("{HEAD}[").into_bytes();
    let mut turn = (0, 0);
    for (index, device) in devices.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(&serde_json::to_vec(&Entry::seen_in(device, view)).unwrap_or_default());
        if index - turn.0 >= ENTRIES_AT_ONCE || text.len() - turn.1 >= BYTES_AT_ONCE {
            turn = (index, text.len());
            yield_now().await;
        }
    }
    text.push(b']');
    text.extend_from_slice(TAIL.as_bytes());
    text.shrink_to_fit();
    text
}

/// A text, and what it takes of the budget until the last who reads it is done.
struct Text {
    text: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// All devices as text, in the order of their ids. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Listing(Bytes);

impl Listing {
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
    use cuttlebone_access::{Access, NewToken, StaticTokens, Token, TokenFields};
    use cuttlebone_hub::Address;
    use cuttlebone_proto::DeviceId;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const COMMON: View = View::Of(Realm::Common);

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
        let listing = app.listings.current(COMMON, &app.registry).await.expect("room");
        let (array, block) = (listing.array(), listing.block());
        let again = app.listings.current(COMMON, &app.registry).await.expect("room");
        assert_eq!((array.as_ptr(), block.as_ptr()), (again.array().as_ptr(), again.block().as_ptr()));
    }

    #[test]
    fn an_older_listing_is_not_what_is_wanted() {
        let listings = Listings::new(usize::MAX);
        listings.keep(COMMON, 7, &Listing(Bytes::from_static(b"old")));
        assert!(listings.known(&COMMON, 6).is_some() && listings.known(&COMMON, 7).is_some());
        assert!(listings.known(&COMMON, 8).is_none() && listings.known(&View::All, 6).is_none());
    }

    #[test]
    fn listings_that_are_kept_are_bounded() {
        let listings = Listings::new(usize::MAX);
        let view = |number: usize| View::Of(Realm::Tenant(number.to_string().into()));
        (0..100).for_each(|number| listings.keep(view(number), number as u64, &Listing(Bytes::new())));
        assert_eq!(listings.newest.lock().len(), KEPT);
        assert!(listings.known(&view(99), 0).is_some() && listings.known(&view(0), 0).is_none());
    }

    #[tokio::test]
    async fn what_is_not_read_is_bounded_and_what_is_kept_makes_room() {
        let app = App::for_test(Settings::default());
        let write = || write(&[], &COMMON);
        let one = write().await.capacity();
        let listings = Listings::new(one * 8);
        let kept = listings.current(COMMON, &app.registry).await.expect("room");
        drop(kept);
        assert_eq!(listings.bytes(), one);
        let readers = || {
            let tenants = ["lab7", "lab8"].map(|tenant| View::Of(Realm::Tenant(tenant.into())));
            let names = "abcd".chars().map(|name| Who::Principal(name.to_string().into()));
            names.flat_map(move |who| tenants.clone().map(|view| Reader { view, who: who.clone() }))
        };
        let mut unread = Vec::new();
        for reader in readers() {
            unread.push(listings.within_budget(reader, write().await).expect("the kept one goes"));
        }
        assert!(listings.bytes() == one * 8 && listings.newest.lock().is_empty());
        assert!(listings.current(COMMON, &app.registry).await.is_err());
        // What is left of it is all that is read.
        let part = unread.remove(0).slice(1..2);
        assert!(listings.current(COMMON, &app.registry).await.is_err());
        drop(part);
        assert!(listings.current(COMMON, &app.registry).await.is_ok());
    }

    fn reader(tenant: &str, name: &str) -> Reader {
        Reader { view: View::Of(Realm::Tenant(tenant.into())), who: Who::Principal(name.into()) }
    }

    /// However many lists one reader wants, or several of one tenant, and however long each takes.
    #[tokio::test]
    async fn readers_take_turns_and_views_do() {
        let turns = Turns::default();
        let [busy, same, other] =
            [("busy", "a"), ("busy", "b"), ("other", "a")].map(|(tenant, name)| reader(tenant, name));
        let held = turns.all.lock().await;
        let order = Mutex::new(Vec::new());
        let list = async |reader: &Reader, number: u8| {
            let _turn = turns.take(reader).await;
            order.lock().push(number);
            yield_now().await;
        };
        let release = async { drop(held) };
        let first = async { tokio::join!(biased; list(&busy, 1), list(&busy, 2), list(&busy, 3)) };
        tokio::join!(biased; first, list(&same, 4), list(&other, 5), release);
        assert_eq!(*order.lock(), [1, 5, 4, 2, 3]);
    }

    #[tokio::test]
    async fn lines_in_which_nobody_waits_are_forgotten() {
        let turns = Turns::default();
        let waiting = reader("t", "waits");
        let waits = turns.take(&waiting).await;
        for number in 0..1000 {
            drop(turns.readers.first(&reader("t", &number.to_string())).await);
        }
        assert!(turns.readers.0.lock().len() < 8);
        let again = turns.readers.first(&waiting);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, again).await.is_err(), "one line for each");
        drop(waits);
    }

    #[tokio::test]
    async fn each_has_its_own_where_others_do_not_read_what_is_shared() {
        let app = App::for_test(Settings::default());
        let listings = Listings::new(write(&[], &COMMON).await.capacity() * 8);
        // Something has changed each time.
        let seen_by = async |caller: &Caller, address: u8| {
            listings.newest.lock().clear();
            listings.seen_by((caller, [192, 0, 2, address].into()), &app.registry).await
        };
        let (anybody, observer) = (Caller::ANYBODY, observer());
        let _shared = seen_by(&anybody, 1).await.expect("room");
        let _own = seen_by(&anybody, 1).await.expect("of its address");
        assert!(seen_by(&anybody, 1).await.is_err());
        let own = seen_by(&observer, 1).await.expect("of the principal");
        assert!(seen_by(&anybody, 2).await.is_ok() && seen_by(&observer, 1).await.is_err());
        drop(own);
        assert!(seen_by(&anybody, 1).await.is_err() && seen_by(&observer, 1).await.is_ok());
    }

    /// One who sees everything.
    fn observer() -> Caller {
        let new = NewToken::from_random(&[7; 32]);
        let fields = TokenFields { name: "w", role: "observer", ..TokenFields::default() };
        let tokens = StaticTokens::parse(&new.line(&fields).expect("a line")).expect("good");
        let access = Access::new(cuttlebone_access::Settings { tokens: Some(tokens), ..Default::default() });
        Caller::known(access.authenticate(&Token::new(new.secret()).expect("a token"), 0).expect("known"))
    }

    #[test]
    fn tenant_is_named_only_to_who_sees_several() {
        let mut device = device("1");
        device.address.realm = Realm::Tenant("lab".into());
        let text = |view: &View| serde_json::to_string(&Entry::seen_in(&device, view)).expect("json");
        assert!(text(&View::All).ends_with(r#","cuttlebone_tenant":"lab"}"#));
        assert!(!text(&View::Of(device.address.realm.clone())).contains("lab"));
    }

    /// How often others get a turn while this is written.
    fn turns(devices: &[DeviceSummary]) -> usize {
        let mut written = pin!(write(devices, &COMMON));
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
        let mut written = pin!(write(&devices, &COMMON));
        let Poll::Ready(text) = written.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing to wait for")
        };
        let listing = Listing(text.into());
        let array = String::from_utf8(listing.array().to_vec()).expect("text");
        assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&array).expect("json").len(), 2);
        assert_eq!(listing.block(), format!("event: snapshot\ndata: {array}\n\n"));
    }
}
