//! How clients come to their device: new ones, those that go on with their session, and those that an earlier process knew.

use std::sync::Arc;
use std::time::Instant;

use cuttlebone_proto::{ClientId, Reject, encode};

use super::attachment::Attachment;
use super::{Client, Device, Expected, State};
use crate::mailbox::{Charge, Had, Inbox, SendPermit, Sender};
use crate::observer::ResumeOutcome;
use crate::registry::Shared;
use crate::request::AttachRequest;
use crate::resume_token::Claims;

/// What a client that is expected takes, beside what is held for it.
const EXPECTED_BYTES: usize = 1024;

/// Until when the tokens of a client that attaches now are good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenTime {
    /// In milliseconds since 1970.
    pub(crate) expires_ms: u64,
}

impl Device {
    /// Attaches a client: draws its id and queues `device_info` for it before it can be sent anything else (R2). With a
    /// `token` time, the client asked for its session to outlive a broken connection.
    pub(crate) fn attach(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        client: &AttachRequest,
        resumable: Option<TokenTime>,
    ) -> Result<Attachment, Reject> {
        let mut state = self.state.lock();
        let client_id = state.unused_id(|| shared.ids.draw());
        let resumable = resumable.map(|time| (time, shared.ids.draw_session()));
        self.admit(shared, &mut state, client, client_id, resumable)
    }

    /// Attaches a client that an earlier process knew. The device knows it, as far as we know.
    ///
    /// Gives nothing where the id is in use, or its session was over before.
    pub(crate) fn readmit(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        client: &AttachRequest,
        claims: Claims,
        time: TokenTime,
    ) -> Result<Option<Attachment>, Reject> {
        let client_id = claims.client_id;
        let mut state = self.state.lock();
        if state.is_used(client_id) {
            return Ok(None);
        }
        let mut attachment = self.admit(shared, &mut state, client, client_id, Some((time, claims.session)))?;
        attachment.told = true;
        if let Some(entry) = state.clients.get_mut(&client_id) {
            entry.told = true;
        }
        Ok(Some(attachment))
    }

    /// Gives the session of a client to its next connection, which says what it has `had` of the device's messages.
    ///
    /// Gives nothing where there is no such session.
    pub(crate) fn resume(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        client: &AttachRequest,
        claims: Claims,
        had: Had,
        time: TokenTime,
    ) -> Result<Option<Attachment>, Reject> {
        let client_id = claims.client_id;
        let mut state = self.state.lock();
        let is_full = state.viewers() >= shared.settings.clients_per_device;
        // A client that is expected is one of an earlier process.
        let may_resume = |entry: &&mut Client| match entry.session {
            Some(session) => session == claims.session,
            None => entry.resumable && matches!(had, Had::Unknown),
        };
        let Some(entry) = state.clients.get_mut(&client_id).filter(may_resume) else { return Ok(None) };
        if entry.lingers && is_full {
            return Err(Reject::TooManyClients);
        }
        let owner = client.mailbox.budget();
        if !entry.mailbox.may_be_read_by(&owner, self.info.len()) {
            return Err(Reject::Overloaded);
        }
        let (permit, taken) = self.mailbox.supersede(&entry.sender, &owner);
        let had = match had {
            // It has read the greeting of this count, or it would not have spoken: this is an attempt of before, that is late.
            Had::Unknown if taken > 0 => Had::OfCount(0, None),
            had => had,
        };
        entry.session = Some(claims.session);
        let claims = self.claim(shared, claims.session, client_id, time);
        let greet = |is_whole: bool, count| {
            let token = shared.tokens.issue(&client.address.device_id, client.party.as_deref(), claims.counted(count));
            encode::resumable_device_info(&self.info, &token, is_whole.then_some(taken))
        };
        let Some((inbox, is_whole)) = entry.mailbox.resume(&client.mailbox, had, greet) else { return Ok(None) };
        if !is_whole {
            self.mailbox.forget_count(&entry.sender);
        }
        let told = entry.told;
        entry.party.clone_from(&client.party);
        entry.expected = None;
        if std::mem::replace(&mut entry.lingers, false) {
            state.lingering -= 1;
            self.announce_viewers(shared, &state);
        }
        shared.observer.resumed(if is_whole { ResumeOutcome::Complete } else { ResumeOutcome::Uncounted });
        Ok(Some(self.attachment(shared, inbox, client_id, permit, told)))
    }

    /// A client whose session can't be resumed, and that the device may still know, is gone for good. A device can have known
    /// so many clients at a time, so it hears of no more than these: whoever has old tokens can't flood it.
    pub(crate) fn disown(&self, shared: &Shared, client_id: ClientId) {
        let mut state = self.state.lock();
        if !state.is_used(client_id) && state.disowned < shared.settings.clients_per_device {
            state.disowned += 1;
            state.remember(client_id);
            self.mailbox.report(encode::client_disconnected(client_id));
        }
    }

    fn admit(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        state: &mut State,
        client: &AttachRequest,
        client_id: ClientId,
        resumable: Option<(TokenTime, u64)>,
    ) -> Result<Attachment, Reject> {
        if state.viewers() >= shared.settings.clients_per_device {
            return Err(Reject::TooManyClients);
        }
        let is_greeted = match resumable {
            None => client.mailbox.greet(encode::device_info(&self.info)),
            Some((time, session)) => {
                client.mailbox.keep_history(shared.settings.resume_kept);
                let claims = self.claim(shared, session, client_id, time);
                let token = shared.tokens.issue(&client.address.device_id, client.party.as_deref(), claims);
                client.mailbox.greet(encode::resumable_device_info(&self.info, &token, None))
            }
        };
        if !is_greeted {
            return Err(Reject::Overloaded);
        }
        let sender = Sender::new(client_id, shared.settings.client_share, self.mailbox.budget());
        let (permit, _) = self.mailbox.supersede(&sender, &client.mailbox.budget());
        let (session, resumable) = (resumable.map(|(_, session)| session), resumable.is_some());
        let mailbox = Arc::clone(&client.mailbox);
        let party = client.party.clone();
        let entry = Client { mailbox, sender, party, told: false, lingers: false, session, resumable, expected: None };
        state.clients.insert(client_id, entry);
        self.announce_viewers(shared, state);
        Ok(self.attachment(shared, client.mailbox.reader(), client_id, permit, false))
    }

    fn attachment(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        inbox: Inbox,
        client_id: ClientId,
        permit: SendPermit,
        told: bool,
    ) -> Attachment {
        let (shared, device) = (Arc::clone(shared), Arc::clone(self));
        Attachment { shared, device, inbox, client_id, permit, told, left: false }
    }

    /// The hash of `device_info` that tokens name.
    pub(crate) fn digest(&self, shared: &Shared) -> u64 {
        *self.digest.get_or_init(|| shared.tokens.digest(&self.info))
    }

    fn claim(&self, shared: &Shared, session: u64, client_id: ClientId, time: TokenTime) -> Claims {
        shared.tokens.claim(client_id, session, self.digest(shared), time.expires_ms)
    }

    /// A device may have kept a client of an earlier process, and send to it before the client is back: what it sends is
    /// held until then. Gives `false` if too many are expected, or there is no room for one more, or `reader`, on whose
    /// connection it spoke, does not have the device any more: the next one has asked already whom to give up, and when.
    pub(crate) fn expect(&self, shared: &Shared, reader: &Inbox, client_id: ClientId, until: Instant) -> bool {
        let mut state = self.state.lock();
        if !reader.is_current() {
            return false;
        }
        if state.is_used(client_id) {
            return false;
        }
        let expected = state.clients.values().filter(|client| client.expected.is_some()).count();
        let reader = self.mailbox.budget();
        let charge = (expected < shared.settings.clients_per_device)
            .then(|| Charge::of_all(Arc::clone(&reader), EXPECTED_BYTES))
            .flatten();
        let Some(charge) = charge else {
            // The device hears that it is gone, and so it is.
            state.remember(client_id);
            shared.observer.not_expected(client_id);
            return false;
        };
        let mailbox = Inbox::charged(shared.settings.client_queue, Charge::in_full(Arc::clone(&reader)));
        let mailbox = Arc::clone(mailbox.mailbox());
        mailbox.keep_history(shared.settings.resume_kept);
        let sender = Sender::new(client_id, shared.settings.client_share, reader);
        let client = Client {
            mailbox,
            sender,
            party: None,
            told: true,
            lingers: true,
            session: None,
            resumable: true,
            expected: Some(Expected { until, _charge: charge }),
        };
        state.clients.insert(client_id, client);
        state.lingering += 1;
        true
    }

    /// When the first client that is expected has to be here.
    pub(crate) fn expected_until(&self) -> Option<Instant> {
        self.state.lock().clients.values().filter_map(|client| Some(client.expected.as_ref()?.until)).min()
    }

    /// Clients that were expected and did not come are gone for good.
    pub(crate) fn give_up_expected(&self, now: Instant) {
        let mut state = self.state.lock();
        let is_late = |client: &Client| client.expected.as_ref().is_some_and(|expected| expected.until <= now);
        let late: Vec<_> = state.clients.extract_if(.., |_, client| is_late(client)).collect();
        for (client_id, _) in late {
            state.lingering -= 1;
            state.remember(client_id);
            self.mailbox.report(encode::client_disconnected(client_id));
        }
    }
}
