//! The connection against a second one in the same process: datagrams are handed over, time is made up.

use std::net::SocketAddr;

use super::*;

/// A viewer as plain as can be.
struct Viewer {
    rtc: Rtc,
    address: SocketAddr,
    events: Vec<Event>,
    wake: Instant,
}

impl Viewer {
    fn new(now: Instant) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 5000));
        let rtc = Identity::generate().config().build(now);
        Self { rtc, address, events: Vec::new(), wake: now }
    }

    fn answer(&mut self, offer: &str) -> String {
        self.rtc.add_local_candidate(self.candidate());
        let offer = SdpOffer::from_sdp_string(offer).unwrap();
        self.rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string()
    }

    fn candidate(&self) -> Candidate {
        Candidate::host(self.address, Protocol::Udp).unwrap()
    }

    fn poll(&mut self) -> Vec<Transmit> {
        let mut transmits = Vec::new();
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(wake) => {
                    self.wake = wake;
                    return transmits;
                }
                Output::Transmit(transmit) => transmits.push(transmit),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4000))
}

fn start(now: Instant) -> (Peer, String) {
    let (peer, messages) = Peer::offer(&Identity::generate(), local(), now).unwrap();
    let [ToViewer::Offer { sdp }, ToViewer::IceCandidate { mid, m_line_index: 0, candidate }] = &messages[..] else {
        panic!("unexpected {messages:?}");
    };
    assert!(sdp.contains(&format!("a=mid:{mid}\r\n")));
    assert!(candidate.starts_with("candidate:") && candidate.contains(" 4000 "), "{candidate}");
    (peer, sdp.clone())
}

/// Hands datagrams over, and lets time pass, until `done` or no more time.
fn exchange(peer: &mut Peer, viewer: &mut Viewer, now: &mut Instant, done: impl Fn(&Peer, &Viewer) -> bool) {
    let end = *now + Duration::from_secs(10);
    while !done(peer, viewer) {
        assert!(*now < end, "nothing more happened: {peer:?}");
        for transmit in viewer.poll() {
            peer.on_datagram(viewer.address, &transmit.contents, *now);
        }
        for transmit in peer.take_transmits() {
            let receive = Receive::new(Protocol::Udp, local(), viewer.address, &transmit.contents).unwrap();
            viewer.rtc.handle_input(Input::Receive(*now, receive)).unwrap();
            for transmit in viewer.poll() {
                peer.on_datagram(viewer.address, &transmit.contents, *now);
            }
        }
        let wake = peer.wake().min(viewer.wake).max(*now + Duration::from_millis(1));
        *now = wake.min(*now + Duration::from_millis(50));
        peer.on_timeout(*now);
        viewer.rtc.handle_input(Input::Timeout(*now)).unwrap();
    }
}

fn connected() -> (Peer, Viewer, Instant) {
    let mut now = tokio::time::Instant::now().into_std();
    let (mut peer, offer) = start(now);
    let mut viewer = Viewer::new(now);
    let answer = viewer.answer(&offer);
    assert_eq!(peer.on_message(FromViewer::Answer(answer), now), Ok(None));
    exchange(&mut peer, &mut viewer, &mut now, |peer, _| peer.wants_frames());
    (peer, viewer, now)
}

#[test]
fn the_offer_is_what_pages_expect() {
    let (_, sdp) = start(tokio::time::Instant::now().into_std());
    assert!(sdp.contains("a=msid:display_0 "), "{sdp}");
    assert!(sdp.contains("VP8/90000"), "{sdp}");
    assert!(sdp.contains("m=application "), "{sdp}");
    assert!(sdp.find("m=video ") < sdp.find("m=application "), "{sdp}");
    assert!(sdp.contains("a=sendonly"), "{sdp}");
}

#[test]
fn frames_and_input_arrive() {
    let (mut peer, mut viewer, mut now) = connected();
    let frame: Arc<[u8]> = vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0, 1, 2, 3].into();
    peer.on_frame(Arc::clone(&frame), now, now);
    let is_frame = |event: &Event| matches!(event, Event::MediaData(data) if data.data[..] == frame[..]);
    exchange(&mut peer, &mut viewer, &mut now, |_, viewer| viewer.events.iter().any(is_frame));

    let is_open = |event: &Event| matches!(event, Event::ChannelOpen(_, label) if label == CONTROL_CHANNEL);
    exchange(&mut peer, &mut viewer, &mut now, |_, viewer| viewer.events.iter().any(is_open));
    let mut changes = viewer.rtc.sdp_api();
    let input = changes.add_channel(INPUT_CHANNEL.to_owned());
    assert!(changes.apply().is_none(), "no negotiation is needed for a further channel");
    let opened = |event: &Event| matches!(event, Event::ChannelOpen(id, _) if *id == input);
    exchange(&mut peer, &mut viewer, &mut now, |_, viewer| viewer.events.iter().any(opened));
    for message in [&b"no json"[..], br#"{"type":"wheel","pixels":3}"#] {
        viewer.rtc.channel(input).unwrap().write(false, message).unwrap();
        viewer.poll().into_iter().for_each(|t| peer.on_datagram(viewer.address, &t.contents, now));
    }
    exchange(&mut peer, &mut viewer, &mut now, |peer, _| !peer.inputs.is_empty());
    assert_eq!(peer.take_inputs(), [InputEvent::Wheel { pixels: 3 }]);
}

#[test]
fn a_viewer_may_negotiate_again() {
    let (mut peer, mut viewer, mut now) = connected();
    let mut changes = viewer.rtc.sdp_api();
    changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    let (offer, pending) = changes.apply().unwrap();
    let reply = peer.on_message(FromViewer::Offer(offer.to_sdp_string()), now).unwrap();
    let Some(ToViewer::Answer { sdp }) = reply else { panic!("unexpected {reply:?}") };
    let answer = SdpAnswer::from_sdp_string(&sdp).unwrap();
    viewer.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    let frame: Arc<[u8]> = vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0].into();
    peer.on_frame(frame, now, now);
    let is_frame = |event: &Event| matches!(event, Event::MediaData(_));
    exchange(&mut peer, &mut viewer, &mut now, |_, viewer| viewer.events.iter().any(is_frame));
}

#[test]
fn early_candidates_wait_for_the_answer_and_are_bounded() {
    let now = tokio::time::Instant::now().into_std();
    let (mut peer, offer) = start(now);
    for port in 1..=2 * CANDIDATES {
        let text = format!("candidate:1 1 udp 2122260223 127.0.0.1 {port} typ host");
        assert_eq!(peer.on_message(FromViewer::Candidate(Some(text)), now), Ok(None));
    }
    assert_eq!(peer.early.len(), CANDIDATES);
    let answer = Viewer::new(now).answer(&offer);
    assert_eq!(peer.on_message(FromViewer::Answer(answer), now), Ok(None));
    assert!(peer.early.is_empty());
    assert_eq!(peer.candidates, CANDIDATES);
    assert!(!peer.is_over());
}

#[test]
fn messages_out_of_turn_are_refused() {
    let now = tokio::time::Instant::now().into_std();
    let (mut peer, offer) = start(now);
    let answer = Viewer::new(now).answer(&offer);
    assert_eq!(peer.on_message(FromViewer::Offer(offer), now), Err(Refusal::UnexpectedOffer));
    assert_eq!(peer.on_message(FromViewer::Answer("v=0".to_owned()), now), Err(Refusal::InvalidSdp));
    assert_eq!(peer.on_message(FromViewer::Answer(answer.clone()), now), Ok(None));
    assert_eq!(peer.on_message(FromViewer::Answer(answer), now), Err(Refusal::UnexpectedAnswer));
    assert_eq!(peer.on_message(FromViewer::Offer("nonsense".to_owned()), now), Err(Refusal::InvalidSdp));
    assert_eq!(peer.on_message(FromViewer::Error, now), Ok(None));
    assert!(!peer.is_over());
}

#[test]
fn garbage_datagrams_change_nothing() {
    let now = tokio::time::Instant::now().into_std();
    let (mut peer, _) = start(now);
    for datagram in [&[][..], &[0; 20], &[22; 100], &[128; 1200], &[255; 2048]] {
        peer.on_datagram(SocketAddr::from(([127, 0, 0, 1], 9)), datagram, now);
    }
    assert!(!peer.is_over());
}

#[test]
fn a_viewer_that_never_connects_is_dropped() {
    let now = tokio::time::Instant::now().into_std();
    let (mut peer, _) = start(now);
    peer.on_timeout(now + CONNECT_TIME - Duration::from_millis(1));
    assert!(!peer.is_over());
    assert!(peer.wake() <= now + CONNECT_TIME);
    peer.on_timeout(now + CONNECT_TIME);
    assert!(peer.is_over());
}

#[test]
fn a_viewer_that_falls_silent_is_dropped() {
    let (mut peer, _viewer, mut now) = connected();
    let end = now + 2 * SILENT_TIME + Duration::from_secs(60);
    while !peer.is_over() {
        assert!(now < end, "still there: {:?}", peer.state);
        now = peer.wake().max(now + Duration::from_millis(100));
        peer.on_timeout(now);
        peer.take_transmits();
    }
    assert!(!peer.wants_frames());
}

#[test]
fn a_viewer_that_hangs_up_is_gone_at_once() {
    let (mut peer, mut viewer, mut now) = connected();
    let before = now;
    viewer.rtc.close().unwrap();
    exchange(&mut peer, &mut viewer, &mut now, |peer, _| peer.is_over());
    assert!(now - before < Duration::from_secs(2), "{:?}", now - before);
}

#[test]
fn mangled_descriptions_do_no_harm() {
    let now = tokio::time::Instant::now().into_std();
    let identity = Identity::generate();
    let lines = |sdp: &str| sdp.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
    let (_, messages) = Peer::offer(&identity, local(), now).unwrap();
    let [ToViewer::Offer { sdp: model }, _] = &messages[..] else { panic!("unexpected {messages:?}") };
    let count = lines(&Viewer::new(now).answer(model)).len();
    assert!(count > 20);
    for at in 0..count {
        for variant in 0..4 {
            let (mut peer, messages) = Peer::offer(&identity, local(), now).unwrap();
            let [ToViewer::Offer { sdp: offer }, _] = &messages[..] else { panic!("unexpected {messages:?}") };
            let mut answer = lines(&Viewer::new(now).answer(offer));
            let line = answer[at].trim_end().to_owned();
            match variant {
                0 => drop(answer.remove(at)),
                1 => answer.insert(at, format!("{line}\r\n")),
                2 => answer[at] = format!("{}\r\n", &line[..line.len() / 2]),
                _ => answer[at] = format!("{line} 4294967296 -1 \u{1f419}\r\n"),
            }
            // Whether it is refused or taken is the library's business; that the connection stays usable is ours.
            let _ = peer.on_message(FromViewer::Answer(answer.concat()), now);
            let _ = peer.on_message(FromViewer::Offer(answer.concat()), now);
            peer.on_timeout(now + Duration::from_secs(1));
        }
    }
}
