//! Clients that come back to their session. Source: protocol.md 2.6.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_proto::Reject;

use super::{Shard, Shared, waiting};
use crate::device::{Attachment, Device, TokenTime};
use crate::mailbox::Had;
use crate::observer::ResumeOutcome;
use crate::request::{Answer, AttachRequest};
use crate::resume_token::Claims;
use crate::sync::Ordering;

impl Shared {
    /// Until when a token that is given now is good.
    pub(super) fn token_time(&self, now_ms: u64) -> TokenTime {
        TokenTime { expires_ms: now_ms.saturating_add(millis(self.settings.resume_ttl)) }
    }

    /// Answers a client that came with a token and the number of messages it has had.
    pub(super) fn resume(
        self: &Arc<Self>,
        shard: &mut Shard,
        present: Option<&Arc<Device>>,
        (request, config): (&AttachRequest, &Arc<str>),
        (token, received): (&str, Option<u32>),
        now_ms: u64,
    ) -> Answer {
        let Some(claims) = self.tokens.read(token, &request.address.device_id, request.party.as_deref()) else {
            return self.refuse(None, None);
        };
        let time = self.token_time(now_ms);
        // Numbers of another process's count mean nothing here.
        let had = if self.tokens.is_own(claims) { Had::OfCount(claims.count, received) } else { Had::Unknown };
        match present {
            Some(device) if !claims.is_for(device.digest(self)) => self.refuse(None, None),
            // A session that is here goes on however old its token is: it is the token that it was given last.
            Some(device) => match device.resume(self, request, claims, had, time) {
                Ok(Some(attachment)) => Answer::Attached(attachment),
                Ok(None) if claims.is_expired(now_ms) => self.refuse(None, None),
                Ok(None) => self.readmit(shard, device, (request, config), claims, now_ms),
                Err(reject) => self.refuse_with(reject),
            },
            None if self.may_be_unknown(claims, now_ms) && !claims.is_expired(now_ms) => {
                self.wait(shard, request, config, now_ms)
            }
            None => self.refuse(None, None),
        }
    }

    /// A client of a device that is here, whose session is not.
    fn readmit(
        self: &Arc<Self>,
        shard: &mut Shard,
        device: &Arc<Device>,
        (request, config): (&AttachRequest, &Arc<str>),
        claims: Claims,
        now_ms: u64,
    ) -> Answer {
        if !self.may_be_unknown(claims, now_ms) {
            return self.refuse(Some(device), Some(claims));
        }
        if device.away.load(Ordering::Relaxed) {
            return self.wait(shard, request, config, now_ms);
        }
        let time = self.token_time(now_ms);
        match device.readmit(self, request, claims, time) {
            Ok(Some(attachment)) => {
                self.observer.resumed(ResumeOutcome::Uncounted);
                Answer::Attached(attachment)
            }
            // The device may have sent to it since it was looked for, and expects it now.
            Ok(None) => match device.resume(self, request, claims, Had::Unknown, time) {
                Ok(Some(attachment)) => Answer::Attached(attachment),
                Ok(None) => self.refuse(None, None),
                Err(reject) => self.refuse_with(reject),
            },
            Err(reject) => self.refuse_with(reject),
        }
    }

    /// How long clients of an earlier process may still come back.
    pub(super) fn time_for_others(&self, now_ms: u64) -> Duration {
        self.tokens.time_for_others(self.settings.resume_after_restart, now_ms)
    }

    /// Whether the session may be one of an earlier process, whose clients are still coming back.
    fn may_be_unknown(&self, claims: Claims, now_ms: u64) -> bool {
        !self.tokens.is_own(claims) && !self.time_for_others(now_ms).is_zero()
    }

    /// As many may wait as may be attached: they were. And for as long as they may come back, be it that others do not wait.
    fn wait(self: &Arc<Self>, shard: &mut Shard, request: &AttachRequest, config: &Arc<str>, now_ms: u64) -> Answer {
        let most = self.settings.waiting_per_device + self.settings.clients_per_device;
        let patience = self.settings.client_wait.max(self.time_for_others(now_ms));
        waiting::wait(self, shard, request, config, (most, patience))
    }

    /// The session is over. A device that may know the client of an earlier process is told.
    fn refuse(&self, device: Option<&Arc<Device>>, claims: Option<Claims>) -> Answer {
        if let (Some(device), Some(claims)) = (device, claims)
            && !self.tokens.is_own(claims)
        {
            device.disown(self, claims.client_id);
        }
        self.refuse_with(Reject::CannotResume)
    }

    fn refuse_with(&self, reject: Reject) -> Answer {
        self.observer.resumed(ResumeOutcome::Refused);
        Answer::Refused(reject)
    }
}

impl From<Result<Attachment, Reject>> for Answer {
    fn from(result: Result<Attachment, Reject>) -> Self {
        result.map_or_else(Self::Refused, Self::Attached)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
