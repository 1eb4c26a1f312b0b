//! The picture and the channels, with the signaling done by hand.

use cuttlebone_client::ClientId;
use cuttlebone_demo_device::{Media, ToViewer, Viewers};
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webp_rust::decoder::DecodedImage;

use crate::viewer::{PATIENCE, Viewer};

const MAGENTA: [u8; 3] = [0xff, 0, 0xff];
const YELLOW: [u8; 3] = [0xff, 0xff, 0];

pub(crate) struct Device {
    pub(crate) viewers: Viewers,
    pub(crate) messages: mpsc::Receiver<(ClientId, ToViewer)>,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Device {
    pub(crate) fn new(media: Media) -> Self {
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        let (viewers, messages) = Viewers::new("cvd-1", media, tracker.clone(), cancel.clone()).unwrap();
        Self { viewers, messages, cancel, tracker }
    }

    pub(crate) async fn hear(&mut self, client: ClientId, payload: &serde_json::Value) {
        self.viewers.on_message(client, &to_raw_value(payload).unwrap()).await;
    }

    pub(crate) async fn say(&mut self) -> (ClientId, ToViewer) {
        timeout(PATIENCE, self.messages.recv()).await.expect("a message").unwrap()
    }

    /// Ends all tasks, and fails if one does not end.
    pub(crate) async fn end(self) {
        self.cancel.cancel();
        self.tracker.close();
        timeout(PATIENCE, self.tracker.wait()).await.expect("all tasks end");
    }

    pub(crate) async fn offer_to(&mut self, client: ClientId) -> String {
        self.hear(client, &json!({"type": "request-offer", "ice_servers": []})).await;
        let (to, offer) = self.say().await;
        let ToViewer::Offer { sdp } = offer else { panic!("unexpected {offer:?}") };
        let (_, candidate) = self.say().await;
        assert!(matches!(candidate, ToViewer::IceCandidate { .. }), "unexpected {candidate:?}");
        assert_eq!(to, client);
        sdp
    }

    pub(crate) async fn connect(&mut self, client: ClientId) -> Viewer {
        let offer = self.offer_to(client).await;
        let mut viewer = Viewer::new().await;
        let sdp = viewer.answer(&offer).await;
        self.hear(client, &json!({"type": "answer", "sdp": sdp})).await;
        viewer
    }
}

pub(crate) fn client(id: u32) -> ClientId {
    ClientId::new(id).unwrap()
}

fn shows(picture: &DecodedImage, x: usize, y: usize, colour: [u8; 3]) -> bool {
    let pixel = &picture.rgba[(y * picture.width + x) * 4..][..3];
    pixel.iter().zip(colour).all(|(have, want)| have.abs_diff(want) < 90)
}

fn touch(x: i32, y: i32) -> String {
    json!({"type": "multi-touch", "id": [1], "x": [x], "y": [y], "down": 1, "device_label": "display_0"}).to_string()
}

async fn until(viewer: &mut Viewer, what: &str, shown: impl Fn(&DecodedImage) -> bool) {
    let seen = async { while !shown(&viewer.picture().await) {} };
    timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("the picture never showed {what}"));
}

#[tokio::test]
async fn a_viewer_gets_a_moving_picture() {
    let mut device = Device::new(Media::default());
    let mut viewer = device.connect(client(1)).await;
    assert_eq!(viewer.stream_id().await, "display_0");
    let first = viewer.picture().await;
    assert_eq!((first.width, first.height), (360, 640));
    until(&mut viewer, "movement", |picture| picture.rgba != first.rgba).await;
    device.end().await;
}

#[tokio::test]
async fn a_touch_is_drawn_for_all_viewers() {
    let mut device = Device::new(Media::default());
    let mut viewer = device.connect(client(1)).await;
    let mut other = device.connect(client(2)).await;
    assert_eq!(viewer.device_channel().await, "device-control");
    for label in ["camera-data-channel", "adb-channel", "sensors-channel"] {
        let channel = viewer.open(label).await;
        viewer.send(channel, "nothing of interest").await;
    }
    let input = viewer.open("input-channel").await;
    viewer.send(input, "\u{0}not json").await;
    viewer.send(input, &touch(100, 300)).await;
    until(&mut viewer, "the touch", |picture| shows(picture, 100, 300, MAGENTA)).await;
    until(&mut other, "the other's touch", |picture| shows(picture, 100, 300, MAGENTA)).await;
    assert_eq!(other.device_channel().await, "device-control");
    let input = other.open("input-channel").await;
    other.send(input, &touch(250, 350)).await;
    until(&mut viewer, "both touches", |p| shows(p, 100, 300, MAGENTA) && shows(p, 250, 350, YELLOW)).await;
    device.end().await;
}

#[tokio::test]
async fn a_viewer_that_leaves_takes_its_mark_along_and_stops_the_camera() {
    let mut device = Device::new(Media::default());
    assert_eq!(device.viewers.frames_encoded(), 0);
    let mut staying = device.connect(client(1)).await;
    let mut leaving = device.connect(client(2)).await;
    leaving.device_channel().await;
    let input = leaving.open("input-channel").await;
    leaving.send(input, &touch(250, 350)).await;
    until(&mut staying, "the mark", |picture| shows(picture, 250, 350, YELLOW)).await;
    device.viewers.on_disconnected(client(2));
    until(&mut staying, "no mark", |picture| !shows(picture, 250, 350, YELLOW)).await;
    assert_eq!(device.viewers.len(), 1);
    staying.hang_up().await;
    let ended = async {
        while !device.viewers.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ended).await.expect("the session ends when the viewer hangs up");
    assert!(device.viewers.frames_encoded() > 0);
    device.end().await;
}
