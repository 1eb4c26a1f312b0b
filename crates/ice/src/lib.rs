//! Which STUN and TURN servers a peer is told of, and with what credential.
//!
//! [`Ice`] has the list of servers, each for everybody or for some tenants and regions, and makes of it what one [`Peer`] is
//! told. A credential is fixed, made from a secret that the TURN server knows as well ([`TurnSecret`]), or got from somebody who
//! sells relays ([`ProviderSettings`]).
//!
//! Everything here is synchronous and without I/O; the time comes in as seconds since 1970. Whoever has a network carries an
//! [`Errand`] out and brings what came of it back: see [`Ice::begin_errands`].
//!
//! Invariants: 1. a peer that is to have no credential gets no address of a relay either; 2. no `Debug`, fault or error
//! has a secret or a credential; 3. what a provider answers is bounded and checked like what an operator writes; 4. there
//! is at most one errand to a provider at a time; 5. an expired answer is given to nobody.

mod errand;
mod ice;
mod offer;
mod provider;
mod region;
mod secret;
mod settings;

pub use errand::{BadAnswer, Errand, ErrandEnd};
pub use ice::Ice;
pub use offer::{Credentials, Offer, Peer, PeerKind, Policy};
pub use provider::{ProviderSettings, RequestBody};
pub use region::{InvalidNetwork, Network, Region};
pub use secret::{TurnSecret, UnfitSecret};
pub use settings::{Fault, Privacy, Scope, ServerSettings, Settings};
