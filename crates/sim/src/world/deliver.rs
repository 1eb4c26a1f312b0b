//! The far end reads.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cuttlebone_hub::{Item, Received, Urgent};

use super::World;
use crate::peer::{Greeting, Role};

impl World {
    /// The peer takes up to `most` entries, if it reads at all and was woken.
    pub(super) fn deliver(&mut self, slot: usize, most: usize) {
        let Some(peer) = self.slots[slot].as_mut().filter(|peer| peer.lingers.is_none()) else { return };
        let waker = Waker::from(Arc::clone(&peer.woken));
        let mut cx = Context::from_waker(&waker);
        if !peer.reads {
            match peer.seat.inbox().poll_urgent(&mut cx) {
                Poll::Ready(Urgent::Cut) => self.cut(slot),
                Poll::Ready(Urgent::Notice(notice)) => {
                    let next = peer.seat.on_notice(notice);
                    self.carry_out(slot, next);
                }
                Poll::Pending => {}
            }
            return;
        }
        if !peer.woken.take() {
            return;
        }
        let mut items = Vec::new();
        match peer.seat.inbox().poll_receive(&mut cx, most, &mut items) {
            Poll::Pending => {}
            Poll::Ready(Received::Revoked) => {
                peer.woken.raise();
                let next = peer.seat.on_cut(self.now);
                self.carry_out(slot, next);
            }
            Poll::Ready(Received::Items) => {
                peer.woken.raise();
                items.into_iter().for_each(|item| self.read(slot, item));
            }
        }
    }

    /// A peer that does not read is cut off: its last words are lost on it.
    fn cut(&mut self, slot: usize) {
        let Some(peer) = &mut self.slots[slot] else { return };
        let _ = peer.seat.on_cut(self.now);
        peer.seat.on_closing();
        self.break_off(slot);
    }

    fn read(&mut self, slot: usize, item: Item) {
        let Some(peer) = &mut self.slots[slot] else { return };
        match item {
            Item::Text(text) => self.read_text(slot, &text),
            Item::Notice(notice) => {
                let next = peer.seat.on_notice(notice);
                self.carry_out(slot, next);
            }
            Item::Close(_) => {
                peer.seat.on_closing();
                self.break_off(slot);
            }
        }
    }

    fn read_text(&mut self, slot: usize, text: &str) {
        let message: serde_json::Value = serde_json::from_str(text).expect("the server writes JSON");
        let Some(peer) = &mut self.slots[slot] else { return };
        let device = peer.device;
        match (&mut peer.role, message["message_type"].as_str()) {
            (Role::Client { greeted, .. }, Some("config")) => {
                if *greeted == Greeting::None {
                    *greeted = Greeting::Config;
                }
                peer.config = text.to_owned();
            }
            (Role::Client { greeted, .. }, Some("device_info")) => {
                assert_eq!(*greeted, Greeting::Config, "device_info comes once, after config");
                *greeted = Greeting::DeviceInfo;
            }
            (Role::Client { key, greeted, .. }, Some("device_msg")) => {
                assert_eq!(*greeted, Greeting::DeviceInfo, "device_info comes before any device_msg");
                self.ledger.client_reads(*key, &message["payload"]);
            }
            (Role::Device { greeted, .. }, Some("config")) => {
                *greeted = true;
                peer.config = text.to_owned();
            }
            (Role::Device { life, greeted, clients, .. }, Some("client_msg")) => {
                assert!(*greeted, "config comes before any client_msg");
                let id = id_of(&message);
                let life = life.expect("registered before any client_msg");
                let client = self.ledger.device_reads(device, life, id, &message["payload"]);
                if !clients.contains(&(id, client)) {
                    clients.push((id, client));
                }
            }
            (Role::Device { life, clients, greeted, .. }, Some("client_disconnected")) => {
                assert!(*greeted, "config comes before any client_disconnected");
                let id = id_of(&message);
                let life = life.expect("registered before any client_disconnected");
                self.ledger.device_reads_gone(device, life, id);
                clients.retain(|(known, _)| *known != id);
            }
            (_, None) => assert!(message["error"].is_string(), "a message without a type is an error"),
            (role, Some(other)) => panic!("{role:?} was sent {other}"),
        }
    }
}

fn id_of(message: &serde_json::Value) -> u32 {
    message["client_id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id")
}
