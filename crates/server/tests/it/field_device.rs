//! A device as they are in the field (protocol.md 3): any error and any unknown type is a broken connection to it, its table
//! of clients survives, and it knows nothing of ours.

use std::collections::BTreeMap;
use std::time::Duration;

use cuttlebone_client::raw::{RawConn, RawEvent};
use tokio::time::timeout;

use crate::support::{PATIENCE, Running, expect_type};

const INFO: &str = r#"{"hardware":{},"displays":[]}"#;

struct FieldDevice {
    conn: RawConn,
    /// PeerConnections by client id, as it would have them: how many messages each has had.
    clients: BTreeMap<u64, u64>,
    /// Registrations so far.
    lives: u32,
}

impl FieldDevice {
    async fn start(server: &Running) -> Self {
        Self { conn: server.device("cvd-1", INFO).await, clients: BTreeMap::new(), lives: 1 }
    }

    /// Drops the socket and registers again, as it does after anything that it does not understand.
    async fn again(&mut self, server: &Running) {
        self.conn = server.device("cvd-1", INFO).await;
        self.lives += 1;
    }

    /// Reads until it has heard `client` say something.
    async fn hear(&mut self, server: &Running, client: u64) {
        loop {
            let event = timeout(PATIENCE, self.conn.next()).await.expect("something in time");
            let Some(RawEvent::Text(text)) = event else {
                if !matches!(event, Some(RawEvent::Ping | RawEvent::Pong)) {
                    self.again(server).await;
                }
                continue;
            };
            let message: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let id = message["client_id"].as_u64().unwrap_or_default();
            match message["message_type"].as_str() {
                Some("client_msg") => *self.clients.entry(id).or_default() += 1,
                Some("client_disconnected") => drop(self.clients.remove(&id)),
                Some("config") => {}
                _ => self.again(server).await,
            }
            if message["message_type"] == "client_msg" && (client == 0 || id == client) {
                return;
            }
        }
    }

    fn only_client(&self) -> u64 {
        let [id] = self.clients.keys().copied().collect::<Vec<_>>()[..] else { panic!("{:?}", self.clients) };
        id
    }

    async fn send(&mut self, text: &str) {
        self.conn.send_text(text).await.expect("sent");
    }

    async fn answer(&mut self, client: u64, payload: u32) {
        self.send(&format!(r#"{{"message_type":"forward","client_id":{client},"payload":{payload}}}"#)).await;
    }
}

async fn say(client: &mut RawConn, payload: u32) {
    client.send_text(format!(r#"{{"message_type":"forward","payload":{payload}}}"#)).await.expect("sent");
}

#[tokio::test]
async fn its_clients_stay_over_errors_breaks_and_a_takeover() {
    let server = Running::with(|settings| settings.hub.probe = Duration::from_millis(50));
    let mut device = FieldDevice::start(&server).await;
    let mut client = server.client("cvd-1").await;
    say(&mut client, 1).await;
    device.hear(&server, 0).await;
    let id = device.only_client();

    // It sends what the protocol refuses: an error, and for the device that is a broken connection.
    device.send(r#"{"message_type":"forward","client_id":"x","payload":1}"#).await;
    say(&mut client, 2).await;
    device.hear(&server, id).await;
    assert_eq!(device.lives, 2);

    // Its connection breaks, and what its client says meanwhile waits for it.
    device.conn = {
        let broken = std::mem::replace(&mut device.conn, server.websocket("/register_device").await);
        drop(broken);
        server.until_metric(r#"cuttlebone_connections{role="device"}"#, |open| open == 1).await;
        say(&mut client, 3).await;
        server.until_metric("cuttlebone_held_messages_total", |held| held >= 1).await;
        server.device("cvd-1", INFO).await
    };
    device.hear(&server, id).await;

    // Its old connection hangs, and it is back on a new one: the old one does not answer the ping.
    let hanging = std::mem::replace(&mut device.conn, server.websocket("/register_device").await);
    device.conn = server.device("cvd-1", INFO).await;
    say(&mut client, 4).await;
    device.hear(&server, id).await;
    drop(hanging);

    // All that time it had one client, with one id, and lost nothing of it.
    assert_eq!(device.clients, BTreeMap::from([(id, 4)]));
    device.answer(id, 9).await;
    assert!(expect_type(&mut client, "device_msg").await.ends_with(r#""payload":9}"#));
}

#[tokio::test]
async fn a_message_to_a_client_that_left_costs_it_no_life() {
    let server = Running::start();
    let mut device = FieldDevice::start(&server).await;
    let (mut first, mut second) = (server.client("cvd-1").await, server.client("cvd-1").await);
    say(&mut first, 1).await;
    device.hear(&server, 0).await;
    let gone = device.only_client();
    first.close(1000, "", PATIENCE).await.expect("closed");
    device.answer(gone, 1).await;
    device.answer(gone, 2).await;
    say(&mut second, 1).await;
    device.hear(&server, 0).await;
    assert_eq!((device.lives, device.clients.len()), (1, 1));
    assert!(!device.clients.contains_key(&gone), "told that it is gone");
}
