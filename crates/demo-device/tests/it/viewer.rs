//! A viewer: a second WebRTC peer with its own socket, driven by the test that owns it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use webp_rust::decoder::{DecodedImage, decode_lossy_vp8_to_rgba};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Viewer {
    rtc: Box<Rtc>,
    socket: UdpSocket,
    wake: Instant,
    /// What happened and was not yet waited for, but for frames.
    events: Vec<Event>,
    /// The newest frame that was not yet waited for.
    frame: Option<Vec<u8>>,
}

impl Viewer {
    pub(crate) async fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let crypto = Arc::new(cuttlebone_demo_device::crypto_provider());
        let config = RtcConfig::new().set_crypto_provider(crypto).clear_codecs().enable_vp8(true);
        Self { rtc: Box::new(config.build(now())), socket, wake: now(), events: Vec::new(), frame: None }
    }

    /// Answers an offer. Like a browser that hides its address, it gives no candidate.
    pub(crate) async fn answer(&mut self, offer: &str) -> String {
        let candidate = Candidate::host(self.address(), Protocol::Udp).unwrap();
        self.rtc.add_local_candidate(candidate);
        self.drain().await;
        let offer = SdpOffer::from_sdp_string(offer).unwrap();
        let answer = self.rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string();
        self.drain().await;
        answer.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The next picture, decoded.
    pub(crate) async fn picture(&mut self) -> DecodedImage {
        let frame = async {
            loop {
                match self.frame.take() {
                    Some(frame) => return frame,
                    None => self.step().await,
                }
            }
        };
        let frame = timeout(PATIENCE, frame).await.expect("a frame");
        assert!(cuttlebone_demo_device::key_frame_size(&frame).is_some(), "not a key frame");
        decode_lossy_vp8_to_rgba(&frame).unwrap()
    }

    /// The stream that the picture belongs to.
    pub(crate) async fn stream_id(&mut self) -> String {
        let mid = self.wait("media", |event| match event {
            Event::MediaAdded(media) => Some(media.mid),
            _ => None,
        });
        let mid = mid.await;
        self.rtc.media(mid).unwrap().stream_id().to_owned()
    }

    /// Waits for the channel that the device opens.
    pub(crate) async fn device_channel(&mut self) -> String {
        self.wait("a channel", |event| match event {
            Event::ChannelOpen(_, label) => Some(label.clone()),
            _ => None,
        })
        .await
    }

    /// Opens a channel. Only after the device's own one is open.
    pub(crate) async fn open(&mut self, label: &str) -> ChannelId {
        let mut changes = self.rtc.sdp_api();
        let id = changes.add_channel(label.to_owned());
        assert!(changes.apply().is_none());
        self.drain().await;
        self.wait("the channel to open", |event| {
            matches!(event, Event::ChannelOpen(open, _) if *open == id).then_some(())
        })
        .await;
        id
    }

    pub(crate) async fn send(&mut self, channel: ChannelId, text: &str) {
        assert!(self.rtc.channel(channel).unwrap().write(false, text.as_bytes()).unwrap());
        self.drain().await;
    }

    pub(crate) async fn hang_up(mut self) {
        self.rtc.close().unwrap();
        self.drain().await;
    }

    /// The first event, of those not yet waited for, that `pick` wants.
    async fn wait<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let wanted = async {
            loop {
                if let Some(at) = self.events.iter().position(|event| pick(event).is_some()) {
                    return pick(&self.events.remove(at)).unwrap();
                }
                self.step().await;
            }
        };
        timeout(PATIENCE, wanted).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    async fn step(&mut self) {
        let mut datagram = vec![0; 2048];
        let due = timeout(self.wake.saturating_duration_since(now()), self.socket.recv_from(&mut datagram));
        match due.await {
            Ok(received) => {
                let (length, source) = received.unwrap();
                let receive = Receive::new(Protocol::Udp, source, self.address(), &datagram[..length]).unwrap();
                self.rtc.handle_input(Input::Receive(now(), receive)).unwrap();
            }
            Err(_) => self.rtc.handle_input(Input::Timeout(now())).unwrap(),
        }
        self.drain().await;
    }

    async fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(wake) => {
                    self.wake = wake;
                    return;
                }
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.contents, transmit.destination).await.unwrap();
                }
                Output::Event(Event::MediaData(media)) => self.frame = Some(media.data.to_vec()),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
