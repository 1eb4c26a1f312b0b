//! The connection is cut at one byte of an exchange after the other, in either direction.

use std::cell::Cell;

use cuttlebone_client::{ClientEvent, ClientEvents, ClientHandle, ClientOptions, Endpoint, client};
use cuttlebone_testkit::fault_proxy::{Direction, FaultProxy};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::fake::{FakeServer, quick};
use crate::model::Model;

/// Messages in each direction.
const MESSAGES: usize = 6;
/// Exchanges at the same time.
const PARALLEL: usize = 16;
/// Fewer bytes than the upgrade takes in either direction.
const UPGRADE: u64 = 120;

/// How an exchange went.
#[derive(Debug, Default)]
struct Outcome {
    /// The numbers that the server took in the last session, and how many there should be.
    taken: Vec<usize>,
    sent: usize,
    /// The numbers that the application was given in the last session.
    given: Vec<usize>,
    /// How often the application was told that something may be lost.
    gaps: usize,
    sessions: usize,
    restarts: usize,
    /// Connections that were cut.
    cuts: u64,
    up: u64,
    down: u64,
}

/// Lets both sides send their numbers through a proxy that cuts the connection after so many bytes.
async fn exchange(cut: Option<(Direction, u64)>, restart_at: Option<usize>) -> Outcome {
    let server = FakeServer::start().await;
    let proxy = FaultProxy::start(&server.address()).await.unwrap();
    if let Some((direction, bytes)) = cut {
        proxy.cut_after(direction, bytes);
    }
    let endpoint = Endpoint::parse(&format!("ws://{}/pre", proxy.address())).unwrap();
    let (handle, events) = client(ClientOptions { backoff: quick(), ..ClientOptions::new(endpoint, "dev") });
    let mut model = Model::new(server, MESSAGES, restart_at);
    let last_taken = model.last_taken();
    let outcome = tokio::select! {
        outcome = converse(handle, events, last_taken) => outcome,
        () = model.run() => unreachable!("it runs for ever"),
    };
    let Model { taken, sessions, process: restarts, .. } = model;
    let counts = proxy.counts();
    Outcome { taken, sessions, restarts, cuts: counts.reset, up: counts.up, down: counts.down, ..outcome }
}

/// The application: in each session it sends its numbers, and one more whenever something may be lost. It closes when each
/// side has the last of the other.
async fn converse(handle: ClientHandle, mut events: ClientEvents, mut last_taken: watch::Receiver<usize>) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let has_all = outcome.given.last() == Some(&MESSAGES);
        let sent = outcome.sent;
        let event = tokio::select! {
            event = events.next() => event.unwrap(),
            _ = last_taken.wait_for(|last| *last == sent), if has_all => break,
        };
        match event {
            ClientEvent::DeviceInfo(_) => {
                (outcome.given, outcome.sent) = (Vec::new(), MESSAGES);
                for n in 1..=MESSAGES {
                    handle.forward(&n).await.unwrap();
                }
            }
            ClientEvent::Resumed { complete: false, .. } => {
                outcome.gaps += 1;
                outcome.sent += 1;
                handle.forward(&outcome.sent).await.unwrap();
            }
            ClientEvent::Message(payload) => outcome.given.push(payload.get().parse().unwrap()),
            ClientEvent::Resumed { .. }
            | ClientEvent::Lost { .. }
            | ClientEvent::Config { .. }
            | ClientEvent::ServerError { .. } => {}
        }
    }
    handle.close().await;
    outcome
}

/// Cuts at every `step`th byte of both directions, and gives each outcome to `check`.
async fn cut_everywhere(restart_at: Option<usize>, step: usize, check: impl Fn(&Outcome, &str)) {
    let whole = exchange(None, restart_at).await;
    check(&whole, "uncut");
    assert_eq!((whole.cuts, whole.gaps, whole.sessions), (0, 0, 1));
    let up = points(whole.up, step).map(|n| (Direction::Up, n));
    let down = points(whole.down, step).map(|n| (Direction::Down, n));
    let points: Vec<_> = up.chain(down).collect();
    let count = points.len() as u64;
    let exchanges = stream::iter(points)
        .map(|cut| async move { (cut, exchange(Some(cut), restart_at).await) })
        .buffer_unordered(PARALLEL);
    let mut cuts = 0;
    let mut exchanges = std::pin::pin!(exchanges);
    while let Some((cut, outcome)) = exchanges.next().await {
        check(&outcome, &format!("{cut:?}: {outcome:?}"));
        cuts += outcome.cuts;
    }
    // The last bytes are those of the close, and a run may end without some of them.
    assert!(cuts * 10 >= count * 9, "only {cuts} cuts at {count} points");
}

/// Few in the upgrade, which is not ours.
fn points(bytes: u64, step: usize) -> impl Iterator<Item = u64> {
    (0..UPGRADE).step_by(10).chain((UPGRADE..bytes).step_by(step))
}

fn is_ascending(numbers: &[usize]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

#[tokio::test]
async fn cut_at_any_byte_loses_and_doubles_nothing() {
    let all: Vec<usize> = (1..=MESSAGES).collect();
    cut_everywhere(None, 1, |outcome, at| {
        assert_eq!(outcome.taken, all, "{at}");
        assert_eq!(outcome.given, all, "{at}");
        assert_eq!(outcome.gaps, 0, "{at}");
    })
    .await;
}

/// Where the cut takes the word of the restart with it, or the next process's answer, nobody can know what was under way:
/// then the application is told.
#[tokio::test]
async fn cut_at_any_byte_of_a_planned_restart_loses_nothing_without_saying_so() {
    let all: Vec<usize> = (1..=MESSAGES).collect();
    let (whole, told) = (Cell::new(0), Cell::new(0));
    cut_everywhere(Some(MESSAGES / 2), 3, |outcome, at| {
        assert_eq!(outcome.restarts, 1, "{at}");
        if outcome.gaps == 0 {
            assert_eq!(outcome.taken, all, "{at}");
            assert_eq!(outcome.given, all, "{at}");
            whole.set(whole.get() + 1);
        } else {
            told.set(told.get() + 1);
        }
        assert!(is_ascending(&outcome.taken) && is_ascending(&outcome.given), "{at}");
        assert!(outcome.gaps <= 1, "{at}");
    })
    .await;
    assert!(whole.get() > 2 * told.get(), "{whole:?} {told:?}");
}
