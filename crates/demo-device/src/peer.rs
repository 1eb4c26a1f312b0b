//! One viewer's WebRTC connection, without socket, clock or task.
//!
//! 1. After each change of the connection all its output is taken, down to the next timeout (str0m's contract), before
//!    the next change. [`Peer::change`] is the only way to change it.
//! 2. The device makes the first offer. It has the video track and a data channel, since without a channel in it no
//!    channel can be opened later.
//! 3. Candidates that come before the answer wait for it; their number is bounded.
//! 4. [`Peer::is_over`] becomes true once the viewer hung up, or was not there for [`CONNECT_TIME`] or [`SILENT_TIME`].

use std::collections::HashMap;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelData, ChannelId};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};

use crate::candidate::{self, CANDIDATES};
use crate::crypto::crypto_provider;
use crate::input::{self, InputEvent};
use crate::payload::{FromViewer, Refusal, ToViewer};

/// The MediaStream by which viewers find the picture.
pub(crate) const STREAM_ID: &str = "display_0";
/// The channel that the device makes.
const CONTROL_CHANNEL: &str = "device-control";
const INPUT_CHANNEL: &str = "input-channel";
/// A viewer needs nine; the messages of further ones are not read.
const CHANNELS: usize = 32;
/// How long a viewer may take to connect.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(60);
/// How long a viewer that was connected may be out of reach.
pub(crate) const SILENT_TIME: Duration = Duration::from_secs(30);

/// What all connections of a device share: the certificate, and the cryptography it is for.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    crypto: Arc<CryptoProvider>,
    certificate: Option<DtlsCert>,
}

impl Identity {
    /// Makes a certificate.
    pub(crate) fn generate() -> Self {
        let crypto = Arc::new(crypto_provider());
        let certificate = crypto.dtls_provider.generate_certificate();
        Self { crypto, certificate }
    }

    fn config(&self) -> RtcConfig {
        let config = RtcConfig::new().set_crypto_provider(Arc::clone(&self.crypto));
        // Opus only so that a viewer's microphone can be negotiated; what it sends is dropped.
        let config = config.clear_codecs().enable_vp8(true).enable_opus(true, false);
        match &self.certificate {
            Some(certificate) => config.set_dtls_cert(certificate.clone()),
            None => config,
        }
    }
}

/// A connection to one viewer.
#[derive(Debug)]
pub(crate) struct Peer {
    rtc: Box<Rtc>,
    local: SocketAddr,
    video: Mid,
    pending: Option<SdpPendingOffer>,
    early: Vec<Candidate>,
    candidates: usize,
    channels: HashMap<ChannelId, Channel>,
    opened: Instant,
    state: State,
    wake: Instant,
    transmits: Vec<Transmit>,
    inputs: Vec<InputEvent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Silent { since: Instant },
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Input,
    Control,
    Unread,
}

impl Peer {
    /// Opens a connection whose socket is bound to `local`, and gives what to tell the viewer first.
    pub(crate) fn offer(
        identity: &Identity,
        local: SocketAddr,
        now: Instant,
    ) -> Result<(Self, Vec<ToViewer>), RtcError> {
        let candidate = Candidate::host(local, Protocol::Udp).map_err(RtcError::Ice)?;
        let mut rtc = Box::new(identity.config().build(now));
        rtc.add_local_candidate(candidate.clone());
        let mut changes = rtc.sdp_api();
        let stream = || Some(STREAM_ID.to_owned());
        let video = changes.add_media(MediaKind::Video, Direction::SendOnly, stream(), stream(), None);
        changes.add_channel(CONTROL_CHANNEL.to_owned());
        let Some((offer, pending)) = changes.apply() else { return Err(RtcError::ChangesOutOfOrder) };
        let messages = vec![
            ToViewer::Offer { sdp: offer.to_sdp_string() },
            ToViewer::IceCandidate { mid: video.to_string(), m_line_index: 0, candidate: candidate.to_sdp_string() },
        ];
        let mut peer = Self {
            rtc,
            local,
            video,
            pending: Some(pending),
            early: Vec::new(),
            candidates: 0,
            channels: HashMap::new(),
            opened: now,
            state: State::Connecting,
            wake: now,
            transmits: Vec::new(),
            inputs: Vec::new(),
        };
        peer.drain(now);
        Ok((peer, messages))
    }

    /// Takes a message of the viewer; gives the answer, where there is one.
    pub(crate) fn on_message(&mut self, message: FromViewer, now: Instant) -> Result<Option<ToViewer>, Refusal> {
        match message {
            FromViewer::Answer(sdp) => self.on_answer(&sdp, now).map(|()| None),
            FromViewer::Offer(sdp) => self.on_offer(&sdp, now).map(Some),
            FromViewer::Candidate(Some(text)) => {
                self.on_candidate(&text, now);
                Ok(None)
            }
            FromViewer::Candidate(None) | FromViewer::Error | FromViewer::RequestOffer => Ok(None),
        }
    }

    fn on_answer(&mut self, sdp: &str, now: Instant) -> Result<(), Refusal> {
        if self.pending.is_none() {
            return Err(Refusal::UnexpectedAnswer);
        }
        let answer = SdpAnswer::from_sdp_string(&self.keep_usable(sdp)).map_err(|_| Refusal::InvalidSdp)?;
        let Some(pending) = self.pending.take() else { return Err(Refusal::UnexpectedAnswer) };
        let accepted = self.change(now, |rtc| rtc.sdp_api().accept_answer(pending, answer));
        if accepted.is_err() {
            // The offer is used up, so nothing can come of this connection.
            self.state = State::Over;
            return Err(Refusal::InvalidSdp);
        }
        for candidate in mem::take(&mut self.early) {
            self.change(now, |rtc| rtc.add_remote_candidate(candidate));
        }
        Ok(())
    }

    fn on_offer(&mut self, sdp: &str, now: Instant) -> Result<ToViewer, Refusal> {
        if self.pending.is_some() {
            return Err(Refusal::UnexpectedOffer);
        }
        let offer = SdpOffer::from_sdp_string(&self.keep_usable(sdp)).map_err(|_| Refusal::InvalidSdp)?;
        let answer = self.change(now, |rtc| rtc.sdp_api().accept_offer(offer)).map_err(|_| Refusal::InvalidSdp)?;
        Ok(ToViewer::Answer { sdp: answer.to_sdp_string() })
    }

    fn on_candidate(&mut self, text: &str, now: Instant) {
        let Some(candidate) = candidate::usable(text).filter(|_| self.candidates < CANDIDATES) else { return };
        self.candidates += 1;
        if self.pending.is_some() {
            self.early.push(candidate);
        } else {
            self.change(now, |rtc| rtc.add_remote_candidate(candidate));
        }
    }

    fn keep_usable(&mut self, sdp: &str) -> String {
        let (sdp, kept) = candidate::keep_usable(sdp, CANDIDATES.saturating_sub(self.candidates));
        self.candidates += kept;
        sdp
    }

    /// Takes a datagram. What is none of ours is ignored.
    pub(crate) fn on_datagram(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) {
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, datagram) else { return };
        let input = Input::Receive(now, receive);
        if self.rtc.accepts(&input) {
            self.input(input, now);
        }
    }

    /// Says that it is `now`; due at [`Peer::wake`].
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        self.input(Input::Timeout(now), now);
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.state = State::Over;
        }
    }

    /// Sends a key frame that shows the time `captured`.
    pub(crate) fn on_frame(&mut self, frame: Arc<[u8]>, captured: Instant, now: Instant) {
        let elapsed = captured.saturating_duration_since(self.opened).as_micros();
        let time = MediaTime::from_micros(u64::try_from(elapsed).unwrap_or(u64::MAX));
        let video = self.video;
        self.change(now, |rtc| {
            let writer = rtc.writer(video)?;
            let vp8 = writer.payload_params().find(|params| params.spec().codec == Codec::Vp8)?.pt();
            // A viewer that takes no video, or not this one, is served with its channels alone.
            writer.write(vp8, captured, time, frame).ok()
        });
    }

    fn input(&mut self, input: Input<'_>, now: Instant) {
        if self.change(now, |rtc| rtc.handle_input(input)).is_err() {
            self.state = State::Over;
        }
    }

    /// The only way to change the connection; see the first invariant.
    fn change<R>(&mut self, now: Instant, change: impl FnOnce(&mut Rtc) -> R) -> R {
        let result = change(&mut self.rtc);
        self.drain(now);
        result
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(wake)) => {
                    self.wake = wake;
                    break;
                }
                Ok(Output::Transmit(transmit)) => self.transmits.push(transmit),
                Ok(Output::Event(event)) => self.on_event(event, now),
                Err(_) => {
                    self.state = State::Over;
                    break;
                }
            }
        }
        if !self.rtc.is_alive() {
            self.state = State::Over;
        }
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.state = State::Connected,
            Event::IceConnectionStateChange(state) => self.on_ice_state(state, now),
            Event::ChannelOpen(id, label) => self.on_channel(id, &label),
            Event::ChannelClose(id) => {
                self.channels.remove(&id);
            }
            Event::ChannelData(data) => self.on_channel_data(&data),
            _ => {}
        }
    }

    fn on_ice_state(&mut self, state: IceConnectionState, now: Instant) {
        match (state, self.state) {
            (IceConnectionState::Disconnected, State::Connected) => self.state = State::Silent { since: now },
            (state, State::Silent { .. }) if state.is_connected() => self.state = State::Connected,
            _ => {}
        }
    }

    fn on_channel(&mut self, id: ChannelId, label: &str) {
        let channel = match label {
            INPUT_CHANNEL => Channel::Input,
            CONTROL_CHANNEL => Channel::Control,
            _ => Channel::Unread,
        };
        if self.channels.len() < CHANNELS {
            self.channels.insert(id, channel);
        }
    }

    fn on_channel_data(&mut self, data: &ChannelData) {
        let event = match self.channels.get(&data.id) {
            Some(Channel::Input) if !data.binary => input::parse_input(&data.data),
            Some(Channel::Control) if !data.binary => input::parse_control(&data.data),
            _ => None,
        };
        self.inputs.extend(event);
    }

    /// Takes the datagrams to send.
    pub(crate) fn take_transmits(&mut self) -> Vec<Transmit> {
        mem::take(&mut self.transmits)
    }

    /// Takes what the viewer did.
    pub(crate) fn take_inputs(&mut self) -> Vec<InputEvent> {
        mem::take(&mut self.inputs)
    }

    /// When [`Peer::on_timeout`] is due.
    pub(crate) fn wake(&self) -> Instant {
        self.deadline().map_or(self.wake, |deadline| deadline.min(self.wake))
    }

    /// Whether the picture reaches anyone.
    pub(crate) fn wants_frames(&self) -> bool {
        self.state == State::Connected
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Connecting => Some(self.opened + CONNECT_TIME),
            State::Silent { since } => Some(since + SILENT_TIME),
            State::Connected | State::Over => None,
        }
    }
}

#[cfg(test)]
mod tests;
