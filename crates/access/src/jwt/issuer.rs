//! An issuer: whose tokens they are, and what their claims mean.

use std::collections::BTreeMap;
use std::fmt;

use super::key::KeySet;
use crate::pattern::Patterns;
use crate::role::Roles;
use crate::tenant::Tenant;

/// The longest name of an issuer, an audience or a claim, in bytes.
const NAME_BYTES: usize = 256;
/// The claim with the roles, by default.
pub(super) const ROLES: &str = "cuttlebone_roles";
/// The most audiences of an issuer.
const MOST_AUDIENCES: usize = 16;
/// The largest leeway, in seconds: more would not be a clock that is wrong, but a longer life for every token.
const MOST_LEEWAY: u64 = 600;
/// The most names of others that stand for roles.
const MOST_ROLE_NAMES: usize = 256;

/// What is accepted of an issuer, and what its claims mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its name, as `iss` has it, byte for byte. Has no `#`.
    pub issuer: String,
    /// `aud` must have one of these. With none, a token must have no `aud`: one that has is for somebody else (RFC 7519, 4.1.3).
    pub audiences: Vec<String>,
    /// How far its clock may be from ours, in seconds.
    pub leeway: u64,
    /// How old a token may be, in seconds since its `iat`, which it then needs. It expires then at the latest.
    pub max_age: Option<u64>,
    /// The claim with the roles: an array of strings, or a string, which is one name; in `cuttlebone_roles`, `scope` and `scp`
    /// it may have several, with spaces between them, in the first also commas. The name of a claim that begins with `/` is a
    /// JSON Pointer (RFC 6901), here and below: `/realm_access/roles` is within `realm_access`.
    pub roles_claim: String,
    /// What the issuer calls our roles. Where there are any, no other names count, ours neither: `admin` may mean something
    /// else there.
    pub role_names: BTreeMap<String, Roles>,
    /// The claim with patterns of device ids: a string, which is one pattern, or an array of strings.
    pub devices_claim: String,
    /// The patterns of those whose tokens have no such claim.
    pub devices: Option<Patterns>,
    /// Where the tenant comes from.
    pub tenant: TenantFrom,
    /// Where its keys are, if they are not given: [`Access::with_keys`](crate::Access::with_keys) brings them.
    pub jwks_url: Option<String>,
}

/// Where the tenant of a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantFrom {
    /// From this claim, a string. A token without it has no tenant.
    Claim(String),
    /// It is the same for all tokens of the issuer.
    Fixed(Tenant),
}

/// What is wrong with an issuer, and with which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtFault {
    /// Whose settings they are; empty where it is no single one's.
    pub issuer: String,
    /// What is wrong.
    pub fault: IssuerFault,
}

/// What is wrong with an issuer, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerFault {
    /// Too few or too many.
    #[error("there are 1 to {0} issuers")]
    Number(usize),
    /// Two of one name.
    #[error("there are two issuers of this name: give one all the keys")]
    Twice,
    /// Not a name of an issuer.
    #[error("the name of an issuer has 1 to {NAME_BYTES} bytes, no control characters and no #")]
    Issuer,
    /// Not audiences.
    #[error("there are at most {MOST_AUDIENCES} audiences, of 1 to {NAME_BYTES} bytes")]
    Audience,
    /// Too much leeway.
    #[error("the leeway is at most {MOST_LEEWAY} seconds")]
    Leeway,
    /// No time at all.
    #[error("a token may be at least one second old")]
    MaxAge,
    /// Not a name of a claim.
    #[error("the name of a claim has 1 to {NAME_BYTES} bytes")]
    Claim,
    /// Not names of roles.
    #[error(
        "there are at most {MOST_ROLE_NAMES} names for roles, of 1 to {NAME_BYTES} bytes, and each stands for one at least"
    )]
    RoleNames,
    /// No key.
    #[error("the issuer has no key")]
    NoKey,
    /// Keys, and where they are as well.
    #[error("the keys of an issuer are given, or they are at a URL, not both")]
    KeysTwice,
}

impl IssuerSettings {
    /// The settings of `issuer` where nothing else is said: a leeway of 60 seconds, no age, no audience, and the claims
    /// `cuttlebone_roles`, `cuttlebone_devices` and `cuttlebone_tenant`.
    #[must_use]
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: Vec::new(),
            leeway: 60,
            max_age: None,
            roles_claim: ROLES.into(),
            role_names: BTreeMap::new(),
            devices_claim: "cuttlebone_devices".into(),
            devices: None,
            tenant: TenantFrom::Claim("cuttlebone_tenant".into()),
            jwks_url: None,
        }
    }

    /// All faults.
    pub(crate) fn faults(&self, keys: &KeySet) -> Vec<JwtFault> {
        let issuer_is_good = is_name(&self.issuer) && !self.issuer.contains('#');
        let audiences_are_good =
            self.audiences.len() <= MOST_AUDIENCES && self.audiences.iter().all(|name| is_name(name));
        let tenant_is_good = match &self.tenant {
            TenantFrom::Claim(name) => is_name(name),
            TenantFrom::Fixed(_) => true,
        };
        let claims_are_good = is_name(&self.roles_claim) && is_name(&self.devices_claim) && tenant_is_good;
        let names_are_good = self.role_names.len() <= MOST_ROLE_NAMES
            && self.role_names.iter().all(|(name, roles)| is_name(name) && !roles.is_empty());
        let checks = [
            (issuer_is_good, IssuerFault::Issuer),
            (audiences_are_good, IssuerFault::Audience),
            (self.leeway <= MOST_LEEWAY, IssuerFault::Leeway),
            (self.max_age != Some(0), IssuerFault::MaxAge),
            (claims_are_good, IssuerFault::Claim),
            (names_are_good, IssuerFault::RoleNames),
            (!keys.is_empty() || self.jwks_url.is_some(), IssuerFault::NoKey),
            (keys.is_empty() || self.jwks_url.is_none(), IssuerFault::KeysTwice),
        ];
        let faults = checks.into_iter().filter(|(good, _)| !good);
        faults.map(|(_, fault)| JwtFault { issuer: self.issuer.clone(), fault }).collect()
    }
}

impl fmt::Display for JwtFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.issuer.is_empty() { self.fault.fmt(f) } else { write!(f, "{:?}: {}", self.issuer, self.fault) }
    }
}

impl std::error::Error for JwtFault {}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control)
}
