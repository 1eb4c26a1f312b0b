//! Who asks which devices there are learns nothing: security.md T21.

use std::time::Duration;

use cuttlebone_client::raw::{RawConn, RawEvent};
use tokio::time::{Instant, timeout};

use crate::access::{Known, access, device, expect_end, known, open};
use crate::support::{PATIENCE, Running, expect_type};

/// How often each of the two is asked for.
const ASKED: usize = 200;

/// A leak shows in every round, chance in one of a hundred: the test fails if three rounds out of three say that the two are not
/// alike, which chance does once in a million.
const ROUNDS: usize = 3;
const LEAST_P: f64 = 0.01;

fn not_found(id: &str) -> String {
    format!(r#"{{"error":"Connection failed: Device not found: '{id}'","cuttlebone_code":"device_not_found"}}"#)
}

async fn next(conn: &mut RawConn) -> Option<RawEvent> {
    timeout(PATIENCE, conn.next()).await.expect("in time")
}

/// All that a client is told that asks for a device, its id left out, and how long that took.
async fn ask(server: &Running, who: &Known, id: &str) -> (Vec<RawEvent>, Duration) {
    let mut client = open(server, "/connect_client", who).await.expect("upgraded");
    let begun = Instant::now();
    client.send_text(format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#)).await.expect("sent");
    let mut told = Vec::new();
    while let Some(event) = next(&mut client).await {
        let is_last = matches!(event, RawEvent::Close(..));
        told.push(match event {
            RawEvent::Text(text) => RawEvent::Text(text.replace(id, "ID")),
            other => other,
        });
        if is_last {
            break;
        }
    }
    (told, begun.elapsed())
}

/// How likely it is that two samples of one distribution differ as much as these do: the test of Mann and Whitney, with the
/// approximation by the normal distribution, which is good for 200 each.
fn alike(one: &[Duration], other: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = one.iter().map(|time| (*time, true)).collect();
    all.extend(other.iter().map(|time| (*time, false)));
    all.sort_unstable();
    let (mut ranks, mut at) = (0.0, 0);
    while at < all.len() {
        let ties = all[at..].iter().take_while(|(time, _)| *time == all[at].0).count();
        // Those that are equal share their ranks.
        let rank = (2 * at + ties + 1) as f64 / 2.0;
        ranks += rank * all[at..at + ties].iter().filter(|(_, is_one)| *is_one).count() as f64;
        at += ties;
    }
    let (n, m) = (one.len() as f64, other.len() as f64);
    let u = ranks - n * (n + 1.0) / 2.0;
    let z = (u - n * m / 2.0).abs() / (n * m * (n + m + 1.0) / 12.0).sqrt();
    outside(z)
}

/// The share of the normal distribution that is further out than `z`, on both sides (Abramowitz and Stegun 7.1.26).
fn outside(z: f64) -> f64 {
    let x = z / 2.0_f64.sqrt();
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let factors = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    factors.into_iter().fold(0.0, |sum, factor| (sum + factor) * t) * (-x * x).exp()
}

#[test]
fn test_of_mann_and_whitney_says_what_tables_say() {
    for (z, p) in [(0.0, 1.0), (1.0, 0.3173), (1.96, 0.05), (2.576, 0.01), (4.0, 0.000_063)] {
        assert!((outside(z) - p).abs() < 0.000_1, "{z}: {}", outside(z));
    }
    let times = |of: std::ops::Range<u64>| of.map(Duration::from_micros).collect::<Vec<_>>();
    assert!(alike(&times(0..200), &times(0..200)) > 0.99);
    assert!(alike(&times(0..200), &times(40..240)) < LEAST_P, "a shift by a fifth is seen");
}

#[tokio::test]
async fn t21_forbidden_and_absent_are_told_the_same_in_the_same_time() {
    let camera = known(1, "name=camera role=device devices=*");
    // To see whether an id fits costs as much as there is of it that fits, and who asks knows its patterns: here it is the last letter.
    let viewer = known(2, "name=viewer role=client devices=lab/cvd-m");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &viewer]);
        settings.access.anonymous = false;
        // At once, so that what takes time is the lookup.
        settings.hub.client_wait = Duration::ZERO;
        settings.quotas.failed_connects = u32::MAX;
    });
    let _present = device(&server, &camera, "lab/cvd-n").await;
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        let mut times = [Vec::new(), Vec::new()];
        for asked in 0..2 * ASKED {
            // In turn, and the other way round every second time: what the machine does meanwhile concerns both.
            let which = (asked / 2 + asked) % 2;
            let (told, took) = ask(&server, &viewer, ["lab/cvd-n", "lab/cvd-m"][which]).await;
            assert_eq!(told.len(), 3, "{told:?}");
            assert_eq!(told[1], RawEvent::Text(not_found("ID")));
            assert!(matches!(told[2], RawEvent::Close(Some(1008), _)), "{told:?}");
            times[which].push(took);
        }
        let p = alike(&times[0], &times[1]);
        if p > LEAST_P {
            return;
        }
        found.push(p);
    }
    panic!("the time tells forbidden from absent: {found:?}");
}

/// The eleventh is slower, and told the same; so is one that would have found its device.
#[tokio::test]
async fn t21_connect_after_ten_that_failed_waits_and_is_answered_as_before() {
    let camera = known(1, "name=camera role=device devices=*");
    let (guesser, other) = (known(2, "name=g role=client devices=d,guess-*"), known(3, "name=o role=client devices=*"));
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &guesser, &other]);
        settings.access.failure_delay = Duration::from_millis(150);
        settings.hub.client_wait = Duration::ZERO;
    });
    let _present = device(&server, &camera, "d").await;
    for guess in 0..10 {
        ask(&server, &guesser, &format!("guess-{guess}")).await;
    }
    assert_eq!(server.metric("cuttlebone_slowed_connects_total").await, 0);
    let (told, took) = ask(&server, &guesser, "guess-10").await;
    assert_eq!(told[1], RawEvent::Text(not_found("ID")));
    assert!(took >= Duration::from_millis(100), "{took:?}");
    let mut waiting = open(&server, "/connect_client", &guesser).await.expect("upgraded");
    let begun = Instant::now();
    waiting.send_text(r#"{"message_type":"connect","device_id":"d"}"#).await.expect("sent");
    expect_type(&mut waiting, "config").await;
    assert!(
        begun.elapsed() < Duration::from_millis(100),
        "`config` comes at once, as to anybody: {:?}",
        begun.elapsed()
    );
    expect_type(&mut waiting, "device_info").await;
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    assert_eq!(server.metric("cuttlebone_slowed_connects_total").await, 2);
    for guess in 0..12 {
        ask(&server, &other, &format!("guess-{guess}")).await;
    }
    assert_eq!(
        server.metric("cuttlebone_slowed_connects_total").await,
        2,
        "another principal, who sees all in the list"
    );
}

/// A client that waited and had its device has not failed, and one that hangs up while it waits has.
#[tokio::test]
async fn t21_it_is_the_end_without_a_device_that_counts() {
    let camera = known(1, "name=camera role=device devices=*");
    let viewer = known(2, "name=v role=client devices=d");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &viewer]);
        settings.quotas.failed_connects = 0;
        settings.access.failure_delay = Duration::from_millis(50);
    });
    let connect = async || {
        let mut waiting = open(&server, "/connect_client", &viewer).await.expect("upgraded");
        waiting.send_text(r#"{"message_type":"connect","device_id":"d"}"#).await.expect("sent");
        expect_type(&mut waiting, "config").await;
        waiting
    };
    let mut waiting = connect().await;
    server.until_metric("cuttlebone_waiting_clients", |waiting| waiting == 1).await;
    let device = device(&server, &camera, "d").await;
    expect_type(&mut waiting, "device_info").await;
    drop((waiting, device));
    let gone = connect().await;
    assert_eq!(server.metric("cuttlebone_slowed_connects_total").await, 0);
    drop(gone);
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |open| open == 0).await;
    let _slow = connect().await;
    server.until_metric("cuttlebone_slowed_connects_total", |slowed| slowed == 1).await;
}

/// Clients of one tenant that wait for what they may not reach take no place of another's.
#[tokio::test]
async fn who_waits_for_what_is_forbidden_is_counted_with_its_own_tenant() {
    let of = |number, tenant: &str| known(number, &format!("name=v{number} role=client devices=mine tenant={tenant}"));
    let (one, two) = (of(1, "one"), of(2, "two"));
    let server = Running::with(|settings| {
        settings.access.access = access(&[&one, &two]);
        settings.hub.waiting_per_device = 1;
    });
    let connect = async |who: &Known| {
        let mut waiting = open(&server, "/connect_client", who).await.expect("upgraded");
        waiting.send_text(r#"{"message_type":"connect","device_id":"x"}"#).await.expect("sent");
        expect_type(&mut waiting, "config").await;
        waiting
    };
    let _first = connect(&one).await;
    let _other = connect(&two).await;
    server.until_metric("cuttlebone_waiting_clients", |waiting| waiting == 2).await;
    let mut refused = connect(&one).await;
    let error = r#"{"error":"Connection failed: Too many clients are waiting","cuttlebone_code":"too_many_waiting"}"#;
    expect_end(&mut refused, error, 1013).await;
}
