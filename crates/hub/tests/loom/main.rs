//! The rules of the hub under loom: two or three threads, in every order that a few preemptions can bring about.
//!
//! `cargo xtask loom` runs them. A thread here does what the task of a connection does: it drives one seat. A wake-up that is
//! lost leaves a thread asleep for ever, which loom reports as a deadlock.
#![cfg(loom)]

#[path = "../it/peer.rs"]
#[expect(dead_code, reason = "the tests of tests/it need more of it")]
mod peer;

mod coming;
mod going;
mod holding;
mod queues;
mod resuming;
mod stopping;
mod watching;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::future::block_on;
use loom::thread::JoinHandle;
use peer::{Peer, start};

const CONFIG: &str = r#"{"message_type":"config","ice_servers":[]}"#;
const DEVICE_INFO: &str = r#"{"message_type":"device_info","device_info":1}"#;
const GONE: &str = r#"{"message_type":"client_disconnected","client_id":1}"#;
const DEVICE_GONE: [&str; 2] =
    [r#"{"error":"Device disconnected","cuttlebone_code":"device_disconnected"}"#, "close 1001"];

/// Runs a model in every order with at most so many preemptions (or `LOOM_MAX_PREEMPTIONS`), and says how many there were.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let most = *builder.preemption_bound.get_or_insert(preemptions);
    let executions = Arc::new(AtomicUsize::new(0));
    let (counter, begin) = (Arc::clone(&executions), start());
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let (executions, took) = (executions.load(Ordering::Relaxed), begin.elapsed().as_secs_f32());
    println!("{name}: {executions} executions with at most {most} preemptions, {took:.1} s");
}

/// Starts a thread, and gives back the peer that it drives.
fn drive(mut peer: Peer, task: impl FnOnce(&mut Peer) + 'static) -> JoinHandle<Peer> {
    loom::thread::spawn(move || {
        task(&mut peer);
        peer
    })
}

/// Reads as a connection's task does, asleep where there is nothing, until a text begins with this.
fn read_until(peer: &mut Peer, last: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    while texts.last().is_none_or(|text| !text.starts_with(last)) {
        texts.extend(block_on(poll_fn(|cx| peer.poll_entry(cx))));
    }
    texts
}

/// A client's message as client 1's device reads it.
fn from_client(payload: u32) -> String {
    format!(r#"{{"message_type":"client_msg","client_id":1,"payload":{payload}}}"#)
}

/// The messages of clients, and those that say who is gone.
fn of_clients(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).filter(|text| text.contains(r#""client_"#)).collect()
}

/// The messages of the device.
fn of_device(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).filter(|text| text.contains("device_msg")).collect()
}
