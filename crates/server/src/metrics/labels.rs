//! The values that labels may have.

use std::marker::PhantomData;

use cuttlebone_hub::{Direction, ResumeOutcome};
use cuttlebone_proto::CloseCode;
use cuttlebone_transport::Metered;
use http::StatusCode;
use prometheus_client::metrics::family::Family;

/// An enum whose variants are the only values of a label.
pub(super) trait Label: Copy + PartialEq + 'static {
    /// The name of the label.
    const KEY: &'static str;
    /// Every value.
    const ALL: &'static [Self];
    /// The value as it is shown.
    fn text(self) -> String;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $key:literal, { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The value as it is shown.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl Label for $name {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn text(self) -> String {
                self.word().into()
            }
        }
    };
}

label! {
    /// What a connection is.
    Peer, "role", {
        /// HTTP, not upgraded.
        Http = "http",
        /// A device.
        Device = "device",
        /// A client.
        Client = "client",
    }
}

label! {
    /// Why a connection was not served.
    Refusal, "reason", {
        /// As many connections as there may be.
        Full = "full",
        /// As many of its address as there may be.
        AddressFull = "address_full",
        /// As many without a response as there may be.
        PendingFull = "pending_full",
        /// As many of its address without a response as there may be.
        AddressPendingFull = "address_pending_full",
        /// They came too fast.
        AcceptRate = "rate",
        /// Those of its address came too fast.
        AddressRate = "address_rate",
        /// A listed proxy did not say whose connection it passed on, and has to.
        ProxyHeader = "proxy_header",
        /// As many sessions with a broken connection as there may be: this one ended at once.
        AwayFull = "away_full",
        /// As many streams of events as there may be.
        EventStreamsFull = "event_streams_full",
        /// As many lists of devices are not read yet as there may be.
        ListsFull = "lists_full",
        /// As many of its principal as there may be.
        PrincipalFull = "principal_full",
        /// Little memory is left.
        Memory = "memory",
        /// The server is stopping.
        Draining = "draining",
    }
}

impl Refusal {
    /// Whether another address would have been served.
    const fn is_of_address(self) -> bool {
        matches!(self, Self::AddressFull | Self::AddressPendingFull | Self::AddressRate)
    }

    /// What who is turned away is told: 429 where it is the address that has too many, 503 where it is everybody.
    pub(crate) const fn answer(self) -> (StatusCode, &'static str, &'static str) {
        if self.is_of_address() {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many connections from this address")
        } else if matches!(self, Self::Draining) {
            (StatusCode::SERVICE_UNAVAILABLE, "draining", "The server is stopping")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many connections")
        }
    }
}

label! {
    /// What came of signing in at the provider.
    LoginOutcome, "outcome", {
        /// Somebody is signed in.
        SignedIn = "signed_in",
        /// The provider, or who was to sign in there, said no.
        Denied = "denied",
        /// The provider has vouched for somebody who may not sign in: revoked, or with claims that make no sense.
        Refused = "refused",
        /// What came back is not as it should be.
        Failed = "failed",
        /// The provider could not be asked.
        Unreachable = "unreachable",
        /// What came back is no answer to an attempt of this browser, or came too late.
        Lost = "lost",
        /// As many codes are being exchanged as may be.
        Busy = "busy",
        /// The provider does not say where it signs out.
        NoEnd = "no_end",
    }
}

label! {
    /// Why the system gave no connection.
    AcceptError, "kind", {
        /// No file descriptor or memory is left.
        Exhausted = "exhausted",
        /// The peer was gone before it was served.
        Aborted = "aborted",
        /// Anything else.
        Other = "other",
    }
}

label! {
    /// What came of reading the certificate again.
    CertificateLoad, "outcome", {
        /// It is another one.
        Changed = "changed",
        /// It can't be used: the old one is kept.
        Failed = "failed",
    }
}

label! {
    /// What came of asking an authority for a certificate.
    Order, "outcome", {
        /// It issued one.
        Issued = "issued",
        /// It did not, or could not be asked.
        Failed = "failed",
    }
}

label! {
    /// What a peer was late with.
    Timeout, "which", {
        /// TLS, the request, or the end of the upgrade.
        Handshake = "handshake",
        /// The next request of a kept connection.
        NextRequest = "next_request",
        /// The first message.
        FirstMessage = "first_message",
        /// Any sign of life.
        Idle = "idle",
        /// Reading what it was sent.
        Write = "write",
        /// The rest of a message.
        Message = "message",
        /// Leaving when the server stops.
        Drain = "drain",
    }
}

label! {
    /// What came faster than its rate.
    Paused, "bucket", {
        /// Messages.
        Messages = "messages",
        /// Bytes.
        Bytes = "bytes",
        /// Frames of any kind.
        Frames = "frames",
        /// Requests of HTTP.
        Requests = "requests",
    }
}

label! {
    /// What came of asking a provider of TURN servers.
    Fetched, "outcome", {
        /// It has servers.
        Done = "done",
        /// It did not answer, or with an error.
        Failed = "failed",
        /// Its answer can't be used.
        BadAnswer = "bad_answer",
    }
}

label! {
    /// What came of fetching the keys of an issuer.
    KeyFetch, "outcome", {
        /// Keys.
        Good = "good",
        /// No answer, or one that is too slow or too long.
        Failed = "failed",
        /// An answer that is not 200.
        Status = "status",
        /// An answer without a key that can be used.
        Unusable = "unusable",
    }
}

label! {
    /// Why a peer was told again of STUN and TURN servers.
    Renewed, "reason", {
        /// They have changed.
        Changed = "changed",
        /// A credential would soon have expired.
        Expiring = "expiring",
    }
}

label! {
    /// What came of asking the hook about a token.
    HookOutcome, "outcome", {
        /// It is somebody's.
        Recognised = "recognised",
        /// It is nobody's.
        Denied = "denied",
        /// No answer, or none that can be used.
        Failed = "failed",
        /// It had answered before.
        Kept = "kept",
        /// It was not asked, for too many waited.
        Busy = "busy",
        /// It was not asked, for it fails.
        LeftAlone = "left_alone",
    }
}

impl From<Metered> for Paused {
    fn from(by: Metered) -> Self {
        match by {
            Metered::Messages => Self::Messages,
            Metered::Bytes => Self::Bytes,
            Metered::Frames => Self::Frames,
        }
    }
}

impl Label for Direction {
    const KEY: &'static str = "direction";
    const ALL: &'static [Self] = &[Self::ToDevice, Self::ToClient];

    fn text(self) -> String {
        match self {
            Self::ToDevice => "to_device".into(),
            Self::ToClient => "to_client".into(),
        }
    }
}

impl Label for ResumeOutcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Complete, Self::Uncounted, Self::Refused];

    fn text(self) -> String {
        match self {
            Self::Complete => "complete".into(),
            Self::Uncounted => "uncounted".into(),
            Self::Refused => "refused".into(),
        }
    }
}

impl Label for CloseCode {
    const KEY: &'static str = "code";
    const ALL: &'static [Self] = &Self::ALL;

    fn text(self) -> String {
        self.value().to_string()
    }
}

/// One metric for each value of a label, made beforehand: finding one takes no lock.
#[derive(Debug)]
pub(super) struct PerLabel<L, M> {
    each: Vec<M>,
    label: PhantomData<L>,
}

impl<L: Label, M: Clone + Default> PerLabel<L, M> {
    pub(super) fn new(family: &Family<[(&'static str, String); 1], M>) -> Self {
        let each = L::ALL.iter().map(|label| family.get_or_create_owned(&[(L::KEY, label.text())])).collect();
        Self { each, label: PhantomData }
    }

    pub(super) fn at(&self, label: L) -> &M {
        let index = L::ALL.iter().position(|known| *known == label).unwrap_or_default();
        &self.each[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_label_has_its_own_text() {
        fn distinct<L: Label>() -> bool {
            let mut texts: Vec<String> = L::ALL.iter().map(|label| label.text()).collect();
            texts.sort();
            texts.dedup();
            texts.len() == L::ALL.len()
        }
        assert!(distinct::<Peer>() && distinct::<Direction>() && distinct::<Refusal>());
        assert!(distinct::<ResumeOutcome>() && distinct::<Paused>() && distinct::<LoginOutcome>());
        assert!(distinct::<KeyFetch>() && distinct::<HookOutcome>());
        assert!(distinct::<CertificateLoad>() && distinct::<Order>());
        assert!(distinct::<Fetched>() && distinct::<Renewed>());
        assert!(distinct::<AcceptError>() && distinct::<Timeout>() && distinct::<CloseCode>());
    }
}
