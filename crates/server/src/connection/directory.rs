//! What a seat asks the registry for, and answers that take their time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_hub::{Answer, AttachRequest, ConfigFor, Next, Probe, Request, Resolution, Seat};
use cuttlebone_ice::PeerKind;
use cuttlebone_proto::{DeviceId, Reject};
use cuttlebone_transport::Conn;
use tokio::time::{sleep, timeout};

use super::Connection;
use super::stage::Missed;
use crate::app::App;
use crate::caller::Caller;
use crate::clock;
use crate::context::{ConnectionContext, Role};
use crate::greeter::{self, Guest};
use crate::logged;

/// What comes of something that takes its time.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The answer.
    Answer(Answer),
    /// The peer can be greeted now: its request may be put.
    MayAsk(Request),
}

/// One who asks, apart from its connection.
struct Asker {
    app: Arc<App>,
    caller: Caller,
    peer: SocketAddr,
    kind: PeerKind,
    number: u64,
}

impl<C: Conn> Connection<C> {
    /// Asks the registry for what the seat waits for. First, where that is due, those are asked who sell the servers that the
    /// peer's `config` names: for all alike, whatever becomes of the request.
    pub(super) fn ask(&mut self, request: Request) {
        let app = &self.context.app;
        greeter::ask_providers(app, &self.context.guest());
        if app.greeter.is_awaited(&self.context.guest()) {
            self.answer = Some(Box::new(Box::pin(self.context.asker().when_ready(request))));
        } else {
            self.ask_now(request);
        }
    }

    /// Who may not have a device learns no more than that it can't be had: an id that is forbidden is as one that is taken, or as
    /// one that is absent.
    fn ask_now(&mut self, mut request: Request) {
        let caller = &self.context.caller;
        let mut delay = Duration::ZERO;
        if let (Some(trail), Request::Attach(asked)) = (&mut self.trail, &request) {
            trail.asks(asked.is_for_session());
        }
        match &mut request {
            Request::Register(asked) if !self.context.app.settings.id_charset.takes(asked.device_id()) => {
                let next = self.answered(Answer::Refused(Reject::InvalidDeviceId));
                return self.go_on(next);
            }
            Request::Register(asked) if !caller.may_register(asked.device_id()) => {
                let reject = Reject::DeviceIdTaken(asked.device_id().clone());
                self.missed = Missed::Forbidden;
                let next = self.answered(Answer::Refused(reject));
                return self.go_on(next);
            }
            Request::Register(asked) if !self.may_register_again(asked.device_id()) => {
                let next = self.answered(Answer::Refused(Reject::RateLimited));
                return self.go_on(next);
            }
            Request::Attach(asked) => {
                delay = self.delay_of_connect(asked);
                let is_forbidden = !caller.may_connect(asked.device_id());
                asked.hide(is_forbidden);
                self.missed = if is_forbidden { Missed::Forbidden } else { Missed::Nothing };
            }
            Request::Register(_) => {}
        }
        if !delay.is_zero() {
            if let Request::Attach(asked) = &mut request {
                let (app, guest) = (&self.context.app, self.context.guest());
                asked.greet(&|wanted| app.greeter.config(&guest, wanted, &app.metrics));
            }
            self.answer = Some(Box::new(Box::pin(self.context.asker().late(request, delay))));
            return;
        }
        let (app, guest) = (&self.context.app, self.context.guest());
        let config = |wanted| app.greeter.config(&guest, wanted, &app.metrics);
        match app.registry.resolve(request, &config, clock::unix_ms()) {
            Resolution::Answer(answer) => {
                let next = self.answered(answer);
                self.go_on(next);
            }
            Resolution::Probe(probe) => {
                self.answer = Some(Box::new(Box::pin(self.context.asker().conclude(probe))));
            }
        }
    }

    /// Who is known may register each of its ids so often; who is not, is bounded by address.
    fn may_register_again(&self, device_id: &DeviceId) -> bool {
        let ConnectionContext { app, caller, .. } = &self.context;
        caller.principal().is_none_or(|principal| app.registrations.try_take(&principal.account(), device_id))
    }

    /// How long a connect waits before anything is looked up: not at all, unless many before it have failed. One that waits for
    /// its device already does not wait again.
    fn delay_of_connect(&self, asked: &AttachRequest) -> Duration {
        let ConnectionContext { app, caller, .. } = &self.context;
        let guesser = caller.guesser().filter(|_| !asked.is_repeated());
        let delay = guesser.map_or(Duration::ZERO, |account| app.failed_connects.delay(&*account));
        if !delay.is_zero() {
            app.metrics.slowed_connect();
        }
        delay
    }

    /// Counts who goes without what it asked for. Only now, when it has had its answer, and with the same work for each: what the
    /// truth costs would tell it, for to it what is forbidden is as what is absent.
    pub(super) fn note_missed(&self) {
        let ConnectionContext { app, peer, role, caller, .. } = &self.context;
        let (reason, why) = match self.missed {
            Missed::Nothing => return,
            Missed::Forbidden => ("device_forbidden", "the device id is not this one's to have"),
            Missed::Absent => ("device_absent", "the device is not there"),
        };
        app.metrics.refused_with(reason);
        tracing::info!(%peer, role = role.name(), who = caller.name(), device_id = shown(&self.seat), "{why}");
        if *role == Role::Client
            && !self.told
            && let Some(account) = caller.guesser()
        {
            app.failed_connects.count(account.into());
        }
    }

    /// What took its time is over.
    pub(super) fn on_outcome(&mut self, outcome: Outcome) {
        self.answer = None;
        match outcome {
            Outcome::Answer(answer) => {
                let next = self.answered(answer);
                self.go_on(next);
            }
            // The servers may have changed meanwhile, and who sells them.
            Outcome::MayAsk(request) => self.ask(request),
        }
    }

    fn answered(&mut self, answer: Answer) -> Next {
        if let (Some(trail), Some(device_id)) = (&mut self.trail, self.seat.device_id()) {
            // One line either way, for each takes its time.
            match self.missed {
                Missed::Forbidden => trail.forbidden(device_id),
                Missed::Nothing | Missed::Absent => trail.answered(device_id, &answer),
            }
        }
        match &answer {
            Answer::Waiting(_) | Answer::Absent if self.missed == Missed::Nothing => self.missed = Missed::Absent,
            Answer::Attached(_) => self.missed = Missed::Nothing,
            _ => {}
        }
        let outcome = match &answer {
            Answer::Registered(_) => "device registered",
            Answer::Attached(_) => "client attached",
            Answer::Waiting(_) => "client waits for its device",
            // Its reason is logged where it is counted.
            Answer::Absent | Answer::Refused(_) => return self.seat.on_answer(answer, clock::now().into_std()),
            Answer::Stopping => "too late: the server stops",
        };
        let is_let_in = matches!(answer, Answer::Registered(_) | Answer::Attached(_));
        let ConnectionContext { app, peer, .. } = &self.context;
        let turn_user = if is_let_in { app.greeter.turn_user(&self.context.guest()) } else { None };
        tracing::info!(%peer, device_id = shown(&self.seat), turn_user, "{outcome}");
        if is_let_in {
            self.was_greeted();
        }
        self.seat.on_answer(answer, clock::now().into_std())
    }
}

impl ConnectionContext {
    fn asker(&self) -> Asker {
        let Self { app, caller, peer, role, goodbye, .. } = self;
        Asker { app: Arc::clone(app), caller: caller.clone(), peer: *peer, kind: role.kind(), number: goodbye.number() }
    }
}

impl Asker {
    /// Waits until the peer can be greeted.
    async fn when_ready(self, request: Request) -> Outcome {
        self.app.greeter.ready(&self.guest()).await;
        Outcome::MayAsk(request)
    }

    /// Puts a request that has to wait.
    async fn late(self, request: Request, delay: Duration) -> Outcome {
        sleep(delay).await;
        match self.app.registry.resolve(request, &|wanted| self.config(wanted), clock::unix_ms()) {
            Resolution::Answer(answer) => Outcome::Answer(answer),
            Resolution::Probe(probe) => self.conclude(probe).await,
        }
    }

    /// Waits until the holder of a device id has answered, or for as long as it may take, and goes on with the registration.
    async fn conclude(self, mut probe: Probe) -> Outcome {
        let registry = &self.app.registry;
        loop {
            let answered = timeout(registry.settings().probe, &mut probe.answered).await;
            let answered = matches!(answered, Ok(Ok(())));
            match registry.conclude(probe, answered, &|wanted| self.config(wanted), clock::unix_ms()) {
                Resolution::Answer(answer) => return Outcome::Answer(answer),
                Resolution::Probe(next) => probe = next,
            }
        }
    }

    fn config(&self, wanted: ConfigFor) -> String {
        self.app.greeter.config(&self.guest(), wanted, &self.app.metrics)
    }

    fn guest(&self) -> Guest<'_> {
        Guest { kind: self.kind, caller: &self.caller, peer: self.peer, number: Some(self.number) }
    }
}

/// The device id as a log shows it.
pub(super) fn shown(seat: &Seat) -> Option<&str> {
    seat.device_id().map(|id| logged::cut(id.as_str()))
}
