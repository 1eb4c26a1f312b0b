//! One who has been recognised, and what they may do.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use cuttlebone_proto::DeviceId;

use crate::hook::{HookAnswer, Standing};
use crate::jwt::Signed;
use crate::pattern::Patterns;
use crate::prefix::Prefix;
use crate::recent::Weighs;
use crate::role::{Role, Roles};
use crate::session::SessionPrint;
use crate::tenant::Tenant;

/// One who has been recognised, by whatever kind of credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    /// The kind and the name: the name is what follows `name_from`.
    identity: Box<str>,
    name_from: usize,
    /// What people call it, if that is another name.
    shown: Option<Box<str>>,
    grant: Grant,
    origin: Origin,
    /// The tenant that an operator means now.
    acts_for: Option<Tenant>,
}

/// What a credential gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Grant {
    pub(crate) roles: Roles,
    pub(crate) devices: Patterns,
    pub(crate) tenant: Option<Tenant>,
    /// Every tenant, and what belongs to none. Then there is no `tenant`.
    pub(crate) all_tenants: bool,
    /// Before every id that it registers.
    pub(crate) prefix: Option<Prefix>,
    /// Its client connections at once, where that is said.
    pub(crate) max_clients: Option<u32>,
    /// Seconds since 1970.
    pub(crate) expires_at: Option<u64>,
}

impl Grant {
    /// What its texts take.
    pub(crate) fn bytes(&self) -> usize {
        self.devices.bytes() + self.prefix.as_ref().map_or(0, |prefix| prefix.as_str().len())
    }

    fn is_same_but_for_its_end(&self, other: &Self) -> bool {
        let Self { roles, devices, tenant, all_tenants, prefix, max_clients, expires_at: _ } = self;
        (roles, devices, tenant) == (&other.roles, &other.devices, &other.tenant)
            && (all_tenants, prefix, max_clients) == (&other.all_tenants, &other.prefix, &other.max_clients)
    }
}

/// What a principal was recognised by.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The hash of a static token.
    Static([u8; 32]),
    /// A signature.
    Signed(Arc<Signed>),
    /// What the system says of a process of this machine: its user and its group.
    User(u32, u32),
    /// A session of ours, by rules of this print.
    Session(SessionPrint),
    /// The hook, for as long as this says.
    Hook(Arc<Standing>),
    /// The hash of a certificate. What a peer sends along may be something else each time: it stays with its connection.
    Certificate([u8; 32]),
}

impl Weighs for Principal {
    fn bytes(&self) -> usize {
        let origin = match &self.origin {
            Origin::Signed(signed) => signed.bytes(),
            Origin::Hook(standing) => standing.bytes(),
            _ => 0,
        };
        let texts = self.identity.len() + self.shown.as_ref().map_or(0, |shown| shown.len());
        size_of::<Self>() + texts + origin + self.grant.bytes()
    }
}

impl Principal {
    /// The holder of the static token `name`.
    pub(crate) fn of_static_token(name: &str, hash: [u8; 32], grant: Grant) -> Self {
        Self {
            identity: format!("token:{name}").into(),
            name_from: "token:".len(),
            shown: None,
            grant,
            origin: Origin::Static(hash),
            acts_for: None,
        }
    }

    /// The subject of a signed token. `issuer` has no `#`, so no other pair has the same identity.
    pub(crate) fn of_signed_token(issuer: &str, subject: &str, grant: Grant, signed: Signed) -> Self {
        let kind = format!("jwt:{issuer}#");
        let name_from = kind.len();
        let origin = Origin::Signed(Arc::new(signed));
        Self { identity: (kind + subject).into(), name_from, shown: None, grant, origin, acts_for: None }
    }

    /// A user of this machine.
    pub(crate) fn of_user(name: &str, (user, group): (u32, u32), grant: Grant) -> Self {
        Self {
            identity: format!("user:{name}").into(),
            name_from: "user:".len(),
            shown: None,
            grant,
            origin: Origin::User(user, group),
            acts_for: None,
        }
    }

    /// Somebody who has signed in at a provider. `issuer` has no `#`, so no other pair has the same identity.
    pub(crate) fn of_session(
        issuer: &str,
        subject: &str,
        shown: Option<String>,
        grant: Grant,
        print: SessionPrint,
    ) -> Self {
        let kind = format!("oidc:{issuer}#");
        let name_from = kind.len();
        let (identity, shown) = ((kind + subject).into(), shown.map(Into::into));
        Self { identity, name_from, shown, grant, origin: Origin::Session(print), acts_for: None }
    }

    /// One whom the hook recognised at `now`, good for as long as `standing` says.
    #[must_use]
    pub fn of_hook(answer: &HookAnswer, standing: Arc<Standing>, now: u64) -> Self {
        Self {
            identity: format!("hook:{}", answer.name).into(),
            name_from: "hook:".len(),
            shown: None,
            grant: Grant { expires_at: answer.expires_at(now), ..answer.grant.clone() },
            origin: Origin::Hook(standing),
            acts_for: None,
        }
    }

    /// Whom a certificate is for that has this name of a kind.
    pub(crate) fn of_certificate(kind: &str, name: &str, grant: Grant, own_hash: [u8; 32]) -> Self {
        let kind = format!("cert:{kind}:");
        Self {
            name_from: kind.len(),
            identity: (kind + name).into(),
            shown: None,
            grant,
            origin: Origin::Certificate(own_hash),
            acts_for: None,
        }
    }

    /// Who this is: `token:NAME`, `user:NAME`, `jwt:ISSUER#SUBJECT`, `oidc:ISSUER#SUBJECT`, `hook:NAME` or
    /// `cert:KIND:NAME`. Two principals of one identity may take each other's device ids over (PROTOCOL.md 2.4). Has no
    /// control characters.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Who is counted where a principal has places or a rate: of each tenant its own, for somebody who is of two must not learn in
    /// one what it does in the other. No two that differ in either are the same.
    #[must_use]
    pub fn account(&self) -> Cow<'_, str> {
        match &self.grant.tenant {
            None => Cow::Borrowed(&self.identity),
            // Neither has a control character.
            Some(tenant) => Cow::Owned(format!("{}\n{}", tenant.as_str(), self.identity)),
        }
    }

    /// The name for logs: of a token, the subject, or one in a certificate. Has no control characters, and never a secret.
    #[must_use]
    pub fn name(&self) -> &str {
        self.identity.get(self.name_from..).unwrap_or_default()
    }

    /// Whether it has signed in at a provider.
    #[must_use]
    pub fn is_session(&self) -> bool {
        matches!(self.origin, Origin::Session(_))
    }

    /// What people call it, if that is another name than [`Principal::name`]: what a provider calls the account. Two may have the
    /// same, and whoever has it may be able to change it. Has no control characters.
    #[must_use]
    pub fn shown_name(&self) -> Option<&str> {
        self.shown.as_deref()
    }

    /// Whose devices are meant. Tenants do not see each other; `None` is a tenant of its own. An operator has the one
    /// that it acts for.
    #[must_use]
    pub fn tenant(&self) -> Option<&Tenant> {
        self.acts_for.as_ref().or(self.grant.tenant.as_ref())
    }

    /// Whether this is an operator, whose are the devices of every tenant.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.grant.all_tenants
    }

    /// An operator that means one tenant: then that is its tenant, as if it belonged to it. `None` for who is no operator.
    #[must_use]
    pub fn acting_for(&self, tenant: Tenant) -> Option<Self> {
        self.is_operator().then(|| Self { acts_for: Some(tenant), ..self.clone() })
    }

    /// Whether the credential gives the same as that of `other`, whatever tenant an operator means.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity && self.grant == other.grant && self.origin == other.origin
    }

    /// Whether the credential gives the same, for however long: who vouches for a certificate may change.
    pub(crate) fn is_same_but_for_its_end(&self, other: &Self) -> bool {
        let is_same = self.identity == other.identity && self.origin == other.origin;
        is_same && self.grant.is_same_but_for_its_end(&other.grant)
    }

    /// What is put before every id that the principal registers: its patterns mean the whole id.
    #[must_use]
    pub fn prefix(&self) -> Option<&Prefix> {
        self.grant.prefix.as_ref()
    }

    /// How many client connections the principal may have at once, if that was said of it.
    #[must_use]
    pub fn max_clients(&self) -> Option<u32> {
        self.grant.max_clients
    }

    /// The roles.
    #[must_use]
    pub fn roles(&self) -> Roles {
        self.grant.roles
    }

    /// Whether `role` is one of the roles.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.grant.roles.has(role)
    }

    /// Whether the principal may speak for the device `id`. An admin may not: who administers is no device.
    #[must_use]
    pub fn may_register(&self, id: &DeviceId) -> bool {
        self.has(Role::Device) && self.grant.devices.match_id(id)
    }

    /// Whether the principal may control the device `id`.
    #[must_use]
    pub fn may_connect(&self, id: &DeviceId) -> bool {
        (self.has(Role::Client) || self.has(Role::Admin)) && self.grant.devices.match_id(id)
    }

    /// Whether the principal may know that the device `id` is there.
    #[must_use]
    pub fn may_see(&self, id: &DeviceId) -> bool {
        self.may_list() && self.grant.devices.match_id(id)
    }

    /// Whether there are devices that the principal may see, if they are there.
    #[must_use]
    pub fn may_list(&self) -> bool {
        self.has(Role::Observer) || self.has(Role::Client) || self.has(Role::Admin)
    }

    /// Whether the principal may see every device of its tenant.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.may_list() && self.grant.devices.are_all()
    }

    /// When the credential ends, in seconds since 1970. `None` is never.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        self.grant.expires_at
    }

    /// Whether the credential is accepted no longer, because of the time: the end, and the leeway where it has one.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        let until = match &self.origin {
            Origin::Static(_) | Origin::User(..) | Origin::Session(_) => self.grant.expires_at,
            Origin::Signed(signed) => Some(signed.until()),
            Origin::Hook(standing) => Some(standing.until()).filter(|_| !standing.has_ended()),
            Origin::Certificate(_) => self.grant.expires_at.map(|last| last + 1),
        };
        until.is_some_and(|until| now >= until)
    }

    /// What the principal was recognised by.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// Without the origin, which has a hash of the credential.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("identity", &self.identity)
            .field("grant", &self.grant)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DeviceId {
        DeviceId::new(text).expect("an id")
    }

    fn principal(roles: &[Role], devices: &[&str]) -> Principal {
        let grant = Grant {
            roles: roles.iter().copied().collect(),
            devices: Patterns::new(devices.iter().copied()).expect("patterns"),
            ..Grant::default()
        };
        Principal::of_static_token("cam-7", [7; 32], grant)
    }

    /// Register, connect, see.
    fn may(principal: &Principal, text: &str) -> [bool; 3] {
        [principal.may_register(&id(text)), principal.may_connect(&id(text)), principal.may_see(&id(text))]
    }

    /// T18: a credential speaks for the ids of its patterns, in the role it has, and for nothing else.
    #[test]
    fn t18_each_role_may_do_its_own_to_the_devices_of_its_patterns() {
        for (role, expected) in [
            (Role::Device, [true, false, false]),
            (Role::Client, [false, true, true]),
            (Role::Observer, [false, false, true]),
            (Role::Admin, [false, true, true]),
        ] {
            let principal = principal(&[role], &["lab7/*"]);
            assert_eq!(may(&principal, "lab7/cvd-1"), expected, "{role}");
            assert_eq!(may(&principal, "lab8/cvd-1"), [false; 3], "{role}");
            assert_eq!(principal.may_list(), role != Role::Device, "{role}");
        }
        assert_eq!(may(&principal(&[Role::Device, Role::Client], &["x"]), "x"), [true; 3]);
        assert_eq!(may(&principal(&[], &["*"]), "x"), [false; 3]);
    }

    #[test]
    fn only_who_may_list_every_device_sees_all() {
        assert!(principal(&[Role::Observer], &["x", "*"]).sees_all());
        assert!(!principal(&[Role::Observer], &["x*"]).sees_all());
        assert!(!principal(&[Role::Device], &["*"]).sees_all());
    }

    #[test]
    fn operator_has_the_tenant_that_it_acts_for_and_is_the_same_all_the_while() {
        let operator = principal(&[Role::Admin], &["*"]);
        assert!(operator.acting_for("lab".parse().expect("a tenant")).is_none(), "none yet");
        let operator = Principal { grant: Grant { all_tenants: true, ..operator.grant.clone() }, ..operator };
        let acting = operator.acting_for("lab".parse().expect("a tenant")).expect("an operator");
        assert_eq!(acting.tenant().map(Tenant::as_str), Some("lab"));
        assert!(acting.is_same(&operator) && acting.is_operator() && operator.tenant().is_none());
    }

    #[test]
    fn account_is_of_an_identity_in_a_tenant_and_that_of_an_operator_is_one() {
        let common = principal(&[Role::Client], &["x"]);
        assert_eq!(common.account(), common.identity());
        let of = |tenant: &str| {
            let grant = Grant { tenant: tenant.parse().ok(), ..common.grant.clone() };
            Principal { grant, ..common.clone() }.account().into_owned()
        };
        assert!(of("a") != of("b") && of("a") != common.account());
        let operator = Principal { grant: Grant { all_tenants: true, ..Grant::default() }, ..common };
        let acting = operator.acting_for("a".parse().expect("a tenant")).expect("an operator");
        assert_eq!(acting.account(), operator.account());
    }

    #[test]
    fn identity_is_of_a_kind_and_the_name_is_what_follows() {
        let principal = principal(&[Role::Device], &["x"]);
        assert_eq!((principal.identity(), principal.name()), ("token:cam-7", "cam-7"));
    }

    #[test]
    fn what_a_principal_was_recognised_by_is_not_shown() {
        let shown = format!("{:?}", principal(&[Role::Device], &["lab7/*"]));
        assert!(shown.contains("token:cam-7") && shown.contains("lab7/*"), "{shown}");
        assert!(!shown.contains("7, 7") && !shown.contains("origin"), "{shown}");
    }
}
