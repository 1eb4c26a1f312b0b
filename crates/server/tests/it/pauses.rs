//! A client whose message finds no room in its device's queue.

use std::time::Duration;

use cuttlebone_hub::Bound;
use cuttlebone_server::{LimitSettings, Settings};
use tokio::net::TcpSocket;
use tokio::time::{Instant, interval};

use crate::frames::{BINARY, CLOSE, PING, RawWs, Sent, TEXT, frame};
use crate::support::{PATIENCE, Peer, Running};

/// What waits for room at most, so that nothing here is held up by it.
const FULL_WAIT: Duration = Duration::from_secs(60);
const PAUSED: &str = "cuttlebone_paused_clients";

fn message(n: usize) -> Vec<u8> {
    let text = format!(r#"{{"message_type":"forward","payload":{{"n":{n},"x":"{}"}}}}"#, "x".repeat(8000));
    frame(TEXT, text.as_bytes())
}

/// A device that does not read, and its client in a pause.
struct Paused {
    server: Running,
    device: RawWs,
    client: RawWs,
    /// Messages that the client has sent. The last one waits for room.
    sent: usize,
}

impl Paused {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let server = Running::with(|settings| {
            settings.limits = LimitSettings::OFF;
            settings.connections.send_buffer = 4096;
            settings.hub.device_queue = Bound { frames: 4, bytes: 256 * 1024 };
            settings.hub.full_wait = FULL_WAIT;
            change(settings);
        });
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        let socket = socket.connect(server.addr).await.expect("accepted");
        let mut device = RawWs::over(Peer::from(socket), "/register_device").await;
        device.text(r#"{"message_type":"register","device_id":"d"}"#).await;
        device.expect_type("config").await;
        let client = RawWs::client(&server, "d").await;
        let mut paused = Self { server, device, client, sent: 0 };
        paused.fill().await;
        paused
    }

    /// Sends until a message waits, and goes on waiting.
    async fn fill(&mut self) {
        let mut rounds = 0;
        while rounds < 3 {
            if rounds == 0 {
                self.client.send(&message(self.sent)).await;
                self.sent += 1;
                assert!(self.sent < 1000, "never full");
            }
            self.ping().await;
            rounds = if self.server.metric(PAUSED).await == 1 { rounds + 1 } else { 0 };
        }
    }

    /// A ping, and its pong.
    async fn ping(&mut self) {
        self.client.send(&frame(PING, b"there")).await;
        self.expect_pong().await;
    }

    async fn expect_pong(&mut self) {
        while self.client.next().await != Sent::Pong(b"there".to_vec()) {}
    }

    /// The device reads all that was sent, in order.
    async fn expect_all(&mut self) {
        for n in 0..self.sent {
            let text = self.device.expect_type("client_msg").await;
            assert!(text.contains(&format!(r#"{{"n":{n},"#)), "not {n}: {}", &text[..80]);
        }
    }
}

#[tokio::test]
async fn client_in_a_pause_has_its_pongs_until_it_sends_more() {
    let mut paused = Paused::new(|_| ()).await;
    for _ in 0..10 {
        paused.ping().await;
    }
    paused.client.send(&message(paused.sent)).await;
    paused.sent += 1;
    paused.client.send(&frame(PING, b"there")).await;
    assert_eq!(paused.server.metric(PAUSED).await, 1);
    paused.expect_all().await;
    paused.expect_pong().await;
    paused.server.until_metric(PAUSED, |paused| paused == 0).await;
}

#[tokio::test]
async fn client_in_a_pause_has_its_close_answered_and_is_gone_after_its_last_message() {
    let mut paused = Paused::new(|_| ()).await;
    let begun = Instant::now();
    paused.client.send(&frame(CLOSE, &1000_u16.to_be_bytes())).await;
    assert_eq!(paused.client.next().await, Sent::Close(1000));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(paused.server.metric("cuttlebone_clients").await, 1);
    paused.expect_all().await;
    paused.device.expect_type("client_disconnected").await;
    assert_eq!(paused.client.next().await, Sent::End);
}

#[tokio::test]
async fn client_in_a_pause_that_is_cut_is_noticed_at_once() {
    let Paused { server, client, device: _device, .. } = Paused::new(|_| ()).await;
    drop(client);
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |open| open == 0).await;
    assert_eq!(server.metric(PAUSED).await, 0);
}

#[tokio::test]
async fn fault_of_a_client_in_a_pause_is_answered_after_its_message() {
    let mut paused = Paused::new(|_| ()).await;
    paused.client.send(&[frame(BINARY, b"x"), frame(PING, b"there")].concat()).await;
    paused.expect_all().await;
    assert!(paused.client.next_text().await.contains("binary_message"));
}

#[tokio::test]
async fn time_in_which_a_client_waits_for_room_is_no_silence() {
    let idle = Duration::from_millis(1500);
    let mut paused = Paused::new(|settings| {
        settings.timeouts.ping = idle / 3;
        settings.timeouts.idle = idle;
        settings.timeouts.message = idle / 2;
    })
    .await;
    // From here on the client is not read.
    paused.client.send(&message(paused.sent)).await;
    paused.sent += 1;
    let begun = Instant::now();
    let mut tick = interval(idle / 6);
    while begun.elapsed() < idle * 2 {
        tick.tick().await;
        paused.device.send(&frame(PING, b"")).await;
    }
    paused.expect_all().await;
    paused.ping().await;
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(paused.server.metric(r#"cuttlebone_timeouts_total{which="idle"}"#).await, 0);
}
