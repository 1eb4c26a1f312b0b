//! What the device says to what viewers send, before there is any media.

use cuttlebone_demo_device::{Media, ToViewer};
use serde_json::{Value, json};

use crate::media::{Device, client};

async fn refused(device: &mut Device, payload: &Value) -> &'static str {
    device.hear(client(1), payload).await;
    match device.say().await {
        (to, ToViewer::Error { error }) if to == client(1) => error,
        other => panic!("unexpected {other:?}"),
    }
}

#[tokio::test]
async fn what_it_cannot_do_is_answered_with_an_error() {
    let mut device = Device::new(Media::default());
    let table = [
        (json!({"type": "answer", "sdp": "v=0"}), "No session: send request-offer first"),
        (json!({"type": "offer", "sdp": "v=0"}), "No session: send request-offer first"),
        (json!({"type": "dance"}), "Unknown message type"),
        (json!(null), "Malformed message"),
        (json!({"type": "ice-candidate"}), "Malformed message"),
    ];
    for (payload, error) in table {
        assert_eq!(refused(&mut device, &payload).await, error, "{payload}");
    }
    device.offer_to(client(1)).await;
    assert_eq!(
        refused(&mut device, &json!({"type": "answer", "sdp": "nonsense"})).await,
        "Unusable session description"
    );
    assert_eq!(device.viewers.len(), 1);
    device.end().await;
}

#[tokio::test]
async fn late_candidates_of_nobody_are_ignored() {
    let mut device = Device::new(Media::default());
    let candidate = json!({"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0});
    device.hear(client(1), &json!({"type": "ice-candidate", "candidate": candidate})).await;
    device.hear(client(1), &json!({"type": "error", "error": "no"})).await;
    assert!(device.messages.try_recv().is_err());
    device.end().await;
}

#[tokio::test]
async fn viewers_are_bounded_and_their_places_are_given_back() {
    let mut device = Device::new(Media { max_viewers: 1, ..Media::default() });
    device.offer_to(client(2)).await;
    assert_eq!(refused(&mut device, &json!({"type": "request-offer"})).await, "Too many viewers");
    // Its own place a viewer may take again.
    device.offer_to(client(2)).await;
    device.viewers.on_disconnected(client(2));
    device.offer_to(client(1)).await;
    assert_eq!(device.viewers.len(), 1);
    device.end().await;
}

#[tokio::test]
async fn a_second_request_starts_anew() {
    let mut device = Device::new(Media::default());
    let first = device.offer_to(client(1)).await;
    let mut viewer = device.connect(client(1)).await;
    assert_eq!((viewer.picture().await.width, device.viewers.len()), (360, 1));
    let credentials = |sdp: &str| sdp.lines().find(|line| line.starts_with("a=ice-ufrag:")).map(str::to_owned);
    assert_ne!(credentials(&first), credentials(&device.offer_to(client(1)).await));
    device.end().await;
}
