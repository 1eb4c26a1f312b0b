//! What a seat asks the registry for, and answers that take their time.

use std::net::SocketAddr;
use std::sync::Arc;

use cuttlebone_hub::{Answer, ConfigFor, Next, Probe, Request, Resolution};
use cuttlebone_proto::{DeviceId, Reject};
use cuttlebone_transport::Conn;
use tokio::time::timeout;

use super::{Connection, shown, shown_id};
use crate::app::App;
use crate::caller::Caller;
use crate::clock;
use crate::context::{ConnectionContext, Role};
use crate::greeter::{self, Guest};

/// One who asks for a device, apart from its connection.
struct Asker {
    app: Arc<App>,
    caller: Caller,
    peer: SocketAddr,
    role: Role,
}

impl<C: Conn> Connection<C> {
    /// Asks the registry for what the seat waits for. First those are asked, where that is due, who sell the servers that its
    /// `config` names: for all alike, whatever becomes of the request.
    pub(super) fn ask(&mut self, request: Request) {
        let ConnectionContext { app, caller, peer, role, .. } = &self.context;
        let asker = Asker { app: Arc::clone(app), caller: caller.clone(), peer: *peer, role: *role };
        greeter::ask_providers(app, &asker.guest());
        if app.greeter.is_awaited(&asker.guest()) {
            self.answer = Some(Box::pin(asker.ask_when_ready(request)));
            return;
        }
        match asker.ask(request) {
            Resolution::Answer(answer) => {
                let next = self.answered(answer);
                self.go_on(next);
            }
            Resolution::Probe(probe) => self.answer = Some(Box::pin(asker.conclude(probe))),
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) -> Next {
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

impl Asker {
    /// Who may not have a device learns no more than that it can't be had: an id that is forbidden is as one that is taken, or as
    /// one that is absent.
    fn ask(&self, mut request: Request) -> Resolution {
        match &mut request {
            Request::Register(asked) if !self.caller.may_register(asked.device_id()) => {
                self.note_forbidden(asked.device_id());
                return Resolution::Answer(Answer::Refused(Reject::DeviceIdTaken(asked.device_id().clone())));
            }
            Request::Attach(asked) if !self.caller.may_connect(asked.device_id()) => {
                self.note_forbidden(asked.device_id());
                asked.hide();
            }
            Request::Register(_) | Request::Attach(_) => {}
        }
        self.app.registry.resolve(request, &|wanted| self.config(wanted), clock::unix_ms())
    }

    /// As [`Asker::ask`], once the peer can be told of servers.
    async fn ask_when_ready(self, request: Request) -> Answer {
        self.app.greeter.ready(&self.guest()).await;
        match self.ask(request) {
            Resolution::Answer(answer) => answer,
            Resolution::Probe(probe) => self.conclude(probe).await,
        }
    }

    /// Waits until the holder of a device id has answered, or for as long as it may take, and goes on with the registration.
    async fn conclude(self, mut probe: Probe) -> Answer {
        let registry = &self.app.registry;
        loop {
            let answered = timeout(registry.settings().probe, &mut probe.answered).await;
            let answered = matches!(answered, Ok(Ok(())));
            match registry.conclude(probe, answered, &|wanted| self.config(wanted), clock::unix_ms()) {
                Resolution::Answer(answer) => return answer,
                Resolution::Probe(next) => probe = next,
            }
        }
    }

    fn config(&self, wanted: ConfigFor) -> String {
        self.app.greeter.config(&self.guest(), wanted, &self.app.metrics)
    }

    fn guest(&self) -> Guest<'_> {
        Guest { kind: self.role.kind(), caller: &self.caller, peer: self.peer }
    }

    fn note_forbidden(&self, device_id: &DeviceId) {
        self.app.metrics.refused_with("device_forbidden");
        let Self { peer, role, caller, .. } = self;
        let device_id = shown_id(device_id);
        tracing::info!(%peer, role = role.name(), who = caller.name(), device_id, "the device id is not this one's to have");
    }
}
