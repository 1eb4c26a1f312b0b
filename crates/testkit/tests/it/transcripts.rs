//! All situations of the protocol, in both worlds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cuttlebone_testkit::conformance::{Outcome, Plan, Row, play, table};
use cuttlebone_testkit::{
    Close, Machines, Need, Open, Received, RunOptions, Sent, TestServer, Transcript, World, WorldError, embedded, run,
    settings_with,
};
use futures_util::{StreamExt as _, stream};

#[tokio::test]
async fn machines_do_what_every_transcript_says() {
    let mut failures = Vec::new();
    let mut played = 0;
    for transcript in embedded().expect("valid") {
        if transcript.needs.contains(&Need::Sockets) {
            continue;
        }
        let settings = settings_with(&transcript.settings).expect("known keys");
        let mut world = Machines::new(settings);
        played += 1;
        if let Err(failure) = run(&transcript, &mut world, RunOptions::default()).await {
            failures.push(format!("{}: {failure}", transcript.name));
        }
    }
    assert!(failures.is_empty(), "{} of {played} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(played >= 80, "only {played}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_do_what_every_transcript_says() {
    let mut groups: BTreeMap<String, Vec<Transcript>> = BTreeMap::new();
    for transcript in embedded().expect("valid") {
        let key = serde_json::to_string(&transcript.settings).expect("JSON");
        groups.entry(key).or_default().push(transcript);
    }
    let playing = stream::iter(groups.into_values()).map(play_group).buffer_unordered(4);
    let rows: Vec<Row> = playing.flat_map(stream::iter).collect().await;
    assert!(rows.iter().all(|row| row.outcome == Outcome::Ok), "\n{}", table(&rows));
    assert_eq!(rows.len(), embedded().expect("valid").len());
}

/// Transcripts with the same settings, against one server.
async fn play_group(transcripts: Vec<Transcript>) -> Vec<Row> {
    let settings = settings_with(&transcripts[0].settings).expect("known keys");
    // A bound on all clients that wait is shared by all transcripts.
    let parallel = if transcripts[0].settings.contains_key("clients.waiting") { 1 } else { 8 };
    let server = TestServer::start(settings).expect("a free port");
    let plan = Plan {
        url: server.url(),
        options: RunOptions::default(),
        settings_known: true,
        without: BTreeSet::new(),
        parallel,
    };
    play(&transcripts, &plan).await
}

#[tokio::test]
async fn a_transcript_that_is_not_kept_to_fails() {
    for wrong in [
        r#"{"expect":"c1","text":"{\"message_type\":\"config\",\"ice_servers\":[7]}"}"#,
        r#"{"expect_error":"c1","error":"x","code":"y"}"#,
        r#"{"expect_close":"c1","code":1000}"#,
        r#"{"expect_nothing":"c1","for_ms":10}"#,
        r#"{"expect_pong":"c1","bytes":""}"#,
    ] {
        let text = format!(
            "{{\"situation\":\"s\",\"section\":\"1\"}}\n{{\"open\":\"c1\",\"as\":\"client\"}}\n\
             {{\"send\":\"c1\",\"text\":\"{{\\\"message_type\\\":\\\"connect\\\",\\\"device_id\\\":\\\"$D\\\"}}\"}}\n{wrong}"
        );
        let transcript = Transcript::parse("1-wrong", &text).expect("valid");
        let mut world = Machines::new(settings_with(&BTreeMap::new()).expect("none"));
        let failure = run(&transcript, &mut world, RunOptions::default()).await.expect_err(wrong);
        assert_eq!(failure.line, 4, "{failure}");
    }
}

/// The machines behind a server that says goodbye and does not hang up.
struct NeverEnds(Machines);

impl World for NeverEnds {
    async fn open(&mut self, peer: &str, open: &Open) -> Result<Option<String>, WorldError> {
        self.0.open(peer, open).await
    }

    async fn send(&mut self, peer: &str, sent: Sent) -> Result<(), WorldError> {
        self.0.send(peer, sent).await
    }

    async fn receive(&mut self, peer: &str, within: Duration) -> Result<Option<Received>, WorldError> {
        Ok(self.0.receive(peer, within).await?.filter(|received| !matches!(received, Received::End(_))))
    }

    async fn close(&mut self, peer: &str, close: Close) -> Result<(), WorldError> {
        self.0.close(peer, close).await
    }

    async fn advance(&mut self, time: Duration) -> Result<(), WorldError> {
        self.0.advance(time).await
    }
}

#[tokio::test]
async fn a_server_that_does_not_hang_up_after_its_close_fails() {
    for expectation in [r#"{"expect_close":"c1","code":1000}"#, r#"{"expect_end":"c1"}"#] {
        let text = format!(
            "{{\"situation\":\"s\",\"section\":\"1\"}}\n{{\"open\":\"c1\",\"as\":\"client\"}}\n\
             {{\"close\":\"c1\",\"code\":1000}}\n{expectation}"
        );
        let transcript = Transcript::parse("1-end", &text).expect("valid");
        let machines = || Machines::new(settings_with(&BTreeMap::new()).expect("none"));
        assert_eq!(run(&transcript, &mut machines(), RunOptions::default()).await, Ok(()));
        let failure = run(&transcript, &mut NeverEnds(machines()), RunOptions::default()).await.expect_err(expectation);
        assert_eq!(failure.reason, "expected the end of the connection; nothing came");
    }
}
