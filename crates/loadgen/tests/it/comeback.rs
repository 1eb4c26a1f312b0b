use std::sync::Arc;
use std::time::Duration;

use cuttlebone_loadgen::scenario::{Report as _, restart, resume};
use cuttlebone_loadgen::{Arrivals, Plan, Sizes};
use cuttlebone_testkit::{TestServer, local_settings};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::charts::draw;
use crate::fake::{FakeServer, Fate, Loss};

const PATIENCE: Duration = Duration::from_secs(30);

fn plan(url: &str) -> Plan {
    Plan {
        endpoint: cuttlebone_client::Endpoint::parse(url).unwrap(),
        prefix: "back".into(),
        devices: 4,
        clients: 9,
        clients_per_device: 3,
        per_second: 500.0,
        arrivals: Arrivals::Poisson,
        sizes: Sizes::Fixed(200),
        connect_rate: 1000.0,
    }
}

async fn resume(server: &FakeServer) -> resume::Report {
    let pause = Duration::from_millis(100);
    let options = resume::Options { plan: plan(&server.url()), rounds: 2, pause, patience: PATIENCE, meter: None };
    resume::run(&options).await.unwrap()
}

async fn restart(server: &Arc<FakeServer>, losses: &'static [Loss]) -> restart::Report {
    let there = Arc::clone(server);
    let notice = restart::Notice(Arc::new(move |n| there.end_all(losses[n])));
    let options = restart::Options {
        plan: plan(&server.url()),
        restarter: restart::Restarter::Caller(notice),
        rounds: losses.len(),
        pause: Duration::from_millis(100),
        patience: PATIENCE,
    };
    restart::run(&options).await.unwrap()
}

#[tokio::test]
async fn clients_that_are_cut_resume_with_their_ids_and_lose_nothing() {
    let server = FakeServer::resuming(Fate::PassedOn).await;
    let report = resume(&server).await;
    assert!(report.rounds.iter().all(|round| (round.of, round.missing()) == (9, 0)), "{report}");
    let totals = &report.totals;
    assert_eq!((totals.resumed, totals.recounted, totals.begun_anew, totals.ids_changed), (18, 0, 0, 0), "{report}");
    assert!(totals.sent > 0 && totals.lost_to_device + totals.lost_to_client == 0, "{report}");
    assert_eq!((report.faults(), totals.round_trip.count), (0, totals.sent), "{report}");
    assert!(report.all_seconds.is_some() && draw(&report).contains(">round 2<"));
    assert_eq!(server.clients(), 0, "all have said goodbye");
}

#[tokio::test]
async fn what_the_server_did_not_take_is_sent_again() {
    let server = FakeServer::resuming(Fate::Cut).await;
    let plan = Plan { per_second: 2000.0, ..plan(&server.url()) };
    let pause = Duration::from_millis(300);
    let report =
        resume::run(&resume::Options { plan, rounds: 1, pause, patience: PATIENCE, meter: None }).await.unwrap();
    let totals = &report.totals;
    // Each by ourselves, and by the server too: that may meet a client that is away already.
    assert!((10..=18).contains(&totals.resumed), "{report}");
    assert_eq!(totals.lost_to_device + totals.lost_to_client, 0, "{report}");
    assert_eq!(report.faults(), 0, "{report}");
}

#[tokio::test]
async fn without_the_extension_clients_begin_anew() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let report = resume(&server).await;
    assert_eq!((report.totals.begun_anew, report.totals.resumed), (18, 0), "{report}");
    assert_eq!(report.totals.ids_changed, 0, "it was to be expected: {report}");
    assert!(report.rounds.iter().all(|round| round.missing() == 0), "{report}");
}

#[tokio::test]
async fn a_planned_restart_loses_and_doubles_nothing() {
    let server = Arc::new(FakeServer::resuming(Fate::PassedOn).await);
    let report = restart(&server, &[Loss::Planned, Loss::Planned]).await;
    let totals = &report.totals;
    assert!(report.rounds.iter().all(|round| (round.of, round.missing()) == (13, 0)), "{report}");
    assert_eq!((totals.handed_over, totals.resumed, totals.recounted), (18, 0, 0), "{report}");
    assert!(draw(&report).contains("first break"));
    assert_eq!(totals.heard["closed_1012"].count, 26, "{report}");
    assert_eq!(report.faults(), 0, "{report}");
}

#[tokio::test]
async fn after_a_kill_sessions_go_on_and_know_that_messages_may_be_lost() {
    let server = Arc::new(FakeServer::resuming(Fate::PassedOn).await);
    let report = restart(&server, &[Loss::Counts]).await;
    assert_eq!((report.totals.recounted, report.totals.resumed, report.totals.ids_changed), (9, 0, 0), "{report}");
    assert_eq!(report.faults(), 0, "{report}");
}

#[tokio::test]
async fn a_session_that_is_forgotten_is_begun_anew() {
    let server = Arc::new(FakeServer::resuming(Fate::PassedOn).await);
    let report = restart(&server, &[Loss::Sessions]).await;
    assert_eq!(report.totals.heard["error_cannot_resume"].count, 9, "{report}");
    assert_eq!((report.totals.begun_anew, report.totals.ids_changed), (9, 0), "{report}");
}

#[tokio::test]
async fn a_network_that_fails_for_all_leaves_the_counts() {
    let server = Arc::new(FakeServer::resuming(Fate::PassedOn).await);
    let report = restart(&server, &[Loss::Nothing]).await;
    assert_eq!((report.totals.resumed, report.totals.recounted), (9, 0), "{report}");
    assert_eq!(report.totals.doubled_to_device + report.totals.doubled_to_client, 0, "{report}");
}

#[tokio::test]
async fn a_real_server_is_restarted_and_all_come_back() {
    let first = TestServer::start(local_settings()).unwrap();
    let (address, url) = (first.address(), first.url());
    let (tell, mut told) = mpsc::channel(1);
    let restarting = TaskTracker::new().spawn(async move {
        told.recv().await.unwrap();
        first.stop().await;
        TestServer::start(cuttlebone_server::Settings { listen: address, ..local_settings() }).unwrap()
    });
    let notice = restart::Notice(Arc::new(move |_| tell.try_send(()).unwrap()));
    let report = restart::run(&restart::Options {
        plan: plan(url.as_str()),
        restarter: restart::Restarter::Caller(notice),
        rounds: 1,
        pause: Duration::from_millis(50),
        patience: PATIENCE,
    })
    .await
    .unwrap();
    assert_eq!((report.rounds[0].of, report.rounds[0].missing()), (13, 0), "{report}");
    assert!(report.rounds[0].all_seconds >= report.rounds[0].first_seconds, "{report}");
    restarting.await.unwrap().stop().await;
}

#[tokio::test]
async fn a_server_that_nobody_restarts_is_an_error() {
    let server = FakeServer::resuming(Fate::PassedOn).await;
    let options = restart::Options {
        plan: plan(&server.url()),
        restarter: restart::Restarter::Caller(restart::Notice(Arc::new(|_| {}))),
        rounds: 1,
        pause: Duration::ZERO,
        patience: Duration::from_millis(500),
    };
    let error = restart::run(&options).await.unwrap_err().to_string();
    assert!(error.contains("nobody has restarted"), "{error}");
}

#[tokio::test]
async fn a_plan_without_room_for_its_clients_is_refused() {
    let server = FakeServer::resuming(Fate::PassedOn).await;
    let plan = Plan { devices: 2, ..plan(&server.url()) };
    let options = resume::Options { plan, rounds: 1, pause: Duration::ZERO, patience: PATIENCE, meter: None };
    let error = resume::run(&options).await.unwrap_err().to_string();
    assert!(error.contains("9 clients need 3 devices"), "{error}");
}
