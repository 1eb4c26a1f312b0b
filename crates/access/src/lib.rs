//! Who may do what: tokens, and what they stand for.
//!
//! [`Access`] has every kind of credential that is accepted, and makes a [`Principal`] of a [`Token`]. A principal answers
//! what it may do to which device. The kinds are [`StaticTokens`] from a file, [`Jwt`]: tokens that somebody else signed, and
//! [`Sessions`] of those who have signed in at a provider; tokens that a hook knows ([`HookAnswer`]); [`Certificates`],
//! which are shown in TLS.
//!
//! What has to be fetched is fetched by the server: [`RemoteKeys`] says when, and [`Access::with_keys`] takes what came.
//!
//! Everything here is synchronous and without I/O; the time comes in as seconds since 1970. Called by the server once for each
//! upgrade and request, and by the binary, which reads the files.
//!
//! Invariants: 1. no `Debug`, error or label has a credential or a hash of one; 2. everything is bounded; 3. no input can make
//! a function here panic; 4. an [`Access`] never changes: whoever reloads builds another, and asks it whether the principals of
//! the old are still good; 5. the same token at the same time gets the same answer, however often it is asked.

mod access;
mod certificates;
mod denied;
mod digest;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod hook;
mod jwt;
mod line_fault;
mod pattern;
mod prefix;
mod principal;
mod recent;
mod revoked;
mod role;
mod session;
mod static_tokens;
mod tenant;
mod token;
mod users;

pub use access::{Access, Found, Look, Settings};
pub use certificates::{CertificateRule, CertificateTrust, Certificates, Chain, NameKind, RuleFault, TrustFault};
pub use denied::Denied;
pub use hook::{HookAnswer, HookFault, Standing};
pub use jwt::{
    Algorithm, IssuerFault, IssuerSettings, Jwt, JwtFault, KeyFault, KeySet, Keys, RemoteKeys, RemoteRules, SkippedKey,
    TenantFrom, UnfitKey, WantedKey, is_sample_secret,
};
pub use line_fault::{LineFault, TokenFault};
pub use pattern::{InvalidPattern, Pattern, Patterns};
pub use prefix::{InvalidPrefix, Prefix};
pub use principal::Principal;
pub use recent::{Recent, TokenHash, Weighs};
pub use revoked::Revoked;
pub use role::{Role, Roles, UnknownRole};
pub use session::{NewSession, SessionKey, Sessions};
pub use static_tokens::{NewToken, StaticTokens, TokenFields};
pub use tenant::{InvalidName, Tenant};
pub use token::Token;
pub use users::{UserFault, UserFields, UserRule, Users, Who};
