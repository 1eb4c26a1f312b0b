//! What a seat asks the registry for, and answers that take their time.

use cuttlebone_hub::{Answer, Next, Probe, Registry, Request, Resolution, Seat};
use cuttlebone_proto::Reject;
use cuttlebone_transport::Conn;
use tokio::time::timeout;

use super::Connection;
use crate::clock;
use crate::context::ConnectionContext;

/// How much of a device id a log line shows, in characters.
const LOGGED_CHARS: usize = 64;

impl<C: Conn> Connection<C> {
    /// Asks the registry for what the seat waits for. Who may not have a device learns no more than that it can't be had: an
    /// id that is forbidden is as one that is taken, or as one that is absent.
    pub(super) fn ask(&mut self, mut request: Request) {
        let caller = &self.context.caller;
        if let (Some(trail), Request::Attach(asked)) = (&mut self.trail, &request) {
            trail.asks(asked.is_for_session());
        }
        match &mut request {
            Request::Register(asked) if !caller.may_register(asked.device_id()) => {
                let reject = Reject::DeviceIdTaken(asked.device_id().clone());
                self.note_forbidden();
                let next = self.seat.on_answer(Answer::Refused(reject), clock::now().into_std());
                return self.go_on(next);
            }
            Request::Attach(asked) if !caller.may_connect(asked.device_id()) => {
                asked.hide();
                self.note_forbidden();
            }
            Request::Register(_) | Request::Attach(_) => {}
        }
        match self.context.app.registry.resolve(request, clock::unix_ms()) {
            Resolution::Answer(answer) => {
                let next = self.answered(answer);
                self.go_on(next);
            }
            Resolution::Probe(probe) => {
                let answer = conclude((*self.context.app.registry).clone(), probe);
                self.answer = Some(Box::new(Box::pin(answer)));
            }
        }
    }

    fn note_forbidden(&mut self) {
        self.context.app.metrics.refused_with("device_forbidden");
        if let (Some(trail), Some(device_id)) = (&mut self.trail, self.seat.device_id()) {
            trail.refused(device_id, "device_forbidden");
        }
        let ConnectionContext { peer, role, caller, .. } = &self.context;
        let device_id = shown(&self.seat);
        tracing::info!(%peer, role = role.name(), who = caller.name(), device_id, "the device id is not this one's to have");
    }

    pub(super) fn answered(&mut self, answer: Answer) -> Next {
        if let (Some(trail), Some(device_id)) = (&mut self.trail, self.seat.device_id()) {
            trail.answered(device_id, &answer);
        }
        let outcome = match &answer {
            Answer::Registered(_) => "device registered",
            Answer::Attached(_) => "client attached",
            Answer::Waiting(_) => "client waits for its device",
            // Its reason is logged where it is counted.
            Answer::Absent | Answer::Refused(_) => return self.seat.on_answer(answer, clock::now().into_std()),
            Answer::Stopping => "too late: the server stops",
        };
        tracing::info!(peer = %self.context.peer, device_id = shown(&self.seat), "{outcome}");
        self.seat.on_answer(answer, clock::now().into_std())
    }
}

/// The device id as a log shows it: escaped by the log, and cut.
pub(super) fn shown(seat: &Seat) -> Option<tracing::field::DebugValue<&str>> {
    let id = seat.device_id()?.as_str();
    let end = id.char_indices().nth(LOGGED_CHARS).map_or(id.len(), |(at, _)| at);
    Some(tracing::field::debug(id.get(..end).unwrap_or(id)))
}

/// Waits until the holder of a device id has answered, or for as long as it may take, and goes on with the registration.
pub(super) async fn conclude(registry: Registry, mut probe: Probe) -> Answer {
    loop {
        let answered = timeout(registry.settings().probe, &mut probe.answered).await;
        match registry.conclude(probe, matches!(answered, Ok(Ok(()))), clock::unix_ms()) {
            Resolution::Answer(answer) => return answer,
            Resolution::Probe(next) => probe = next,
        }
    }
}
