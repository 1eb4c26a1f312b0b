//! What the log must not have.

use std::io::{self, Write};
use std::sync::Arc;

use cuttlebone_demo_device::Media;
use parking_lot::Mutex;
use serde_json::json;
use tracing::Level;

use crate::media::{Device, client};
use crate::viewer::Viewer;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Credentials and fingerprints of a description.
fn secrets(sdp: &str) -> Vec<String> {
    let prefixes = ["a=ice-pwd:", "a=ice-ufrag:", "a=fingerprint:sha-256 "];
    sdp.lines()
        .filter_map(|line| prefixes.iter().find_map(|prefix| line.strip_prefix(prefix)))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn no_payload_is_logged_down_to_debug() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: one that is only for this thread misses what other tests have logged first. What those
    // log meanwhile is in the log too, and does no harm.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut device = Device::new(Media::default());
    let offer = device.offer_to(client(77)).await;
    let mut viewer = Viewer::new().await;
    let answer = viewer.answer(&offer).await;
    device.hear(client(77), &json!({"type": "answer", "sdp": answer})).await;
    device.hear(client(77), &json!({"type": "answer", "sdp": "a-strange-answer"})).await;
    device.hear(client(77), &json!({"type": "a-strange-type"})).await;
    viewer.picture().await;
    viewer.device_channel().await;
    let input = viewer.open("input-channel").await;
    viewer.send(input, r#"{"type":"keyboard","keycode":"KeyTheyMustNotSee","event_type":"keydown"}"#).await;
    // By the second picture after it the key has surely been read.
    viewer.picture().await;
    viewer.picture().await;
    device.end().await;

    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(log.contains("viewer connected client=77"), "{log}");
    let secrets = [secrets(&offer), secrets(&answer)].concat();
    assert!(secrets.len() >= 6, "{secrets:?}");
    for secret in secrets.iter().map(String::as_str).chain(["a-strange", "KeyTheyMustNotSee", "keydown"]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
