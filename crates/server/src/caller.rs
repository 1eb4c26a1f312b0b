//! Who a request or a connection comes from, and what that one may do.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use cuttlebone_access::{Chain, Prefix, Principal, Role, Tenant, Weighs as _};
use cuttlebone_hub::{Address, Owner, Party, Realm};
use cuttlebone_proto::DeviceId;

use crate::admission::group;

/// What names a tenant in a query.
const TENANT: &str = "tenant=";

/// One who was recognised; or anybody, where the server serves anybody: then everything is allowed.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    principal: Option<Arc<Principal>>,
    /// What was shown on its connection, if that has TLS: a certificate may be needed beside all else.
    chain: Option<Chain>,
}

/// The devices that one may know of, as far as they are told apart by whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum View {
    /// Those of one realm.
    Of(Realm),
    /// Those of every tenant, and those of none.
    All,
}

/// What is asked for is another tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OtherTenant;

impl Caller {
    /// Nobody in particular.
    pub(crate) const ANYBODY: Self = Self { principal: None, chain: None };

    /// One who was recognised.
    pub(crate) fn known(principal: Arc<Principal>) -> Self {
        Self { principal: Some(principal), chain: None }
    }

    /// By a connection of TLS on which this was shown.
    pub(crate) fn by(self, chain: Option<&Chain>) -> Self {
        Self { chain: chain.cloned(), ..self }
    }

    /// What was shown on its connection, if that has TLS.
    pub(crate) fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// As the query of a request says that an operator means it: `tenant=NAME`. Anybody else may name its own tenant only.
    pub(crate) fn in_tenant(self, query: Option<&str>) -> Result<Self, OtherTenant> {
        let mut named =
            query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.strip_prefix(TENANT));
        let Some(name) = named.next() else { return Ok(self) };
        let tenant: Tenant = name.parse().map_err(|_| OtherTenant)?;
        if named.next().is_some() {
            return Err(OtherTenant);
        }
        if self.tenant() == Some(tenant.as_str()) {
            return Ok(self);
        }
        let acting = self.principal.as_ref().and_then(|principal| principal.acting_for(tenant));
        acting.map(|acting| Self { principal: Some(Arc::new(acting)), ..self }).ok_or(OtherTenant)
    }

    pub(crate) fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }

    /// Whether the devices of every tenant are its own.
    pub(crate) fn is_operator(&self) -> bool {
        self.principal.as_ref().is_some_and(|principal| principal.is_operator())
    }

    /// Whether it administers. Nobody in particular does not.
    pub(crate) fn is_admin(&self) -> bool {
        self.principal.as_ref().is_some_and(|principal| principal.has(Role::Admin))
    }

    /// For logs.
    pub(crate) fn name(&self) -> Option<&str> {
        self.principal.as_ref().map(|principal| principal.name())
    }

    /// Whether it may do anything at all.
    pub(crate) fn has_a_role(&self) -> bool {
        self.allows(|principal| !principal.roles().is_empty())
    }

    /// What people call it.
    pub(crate) fn shown_name(&self) -> Option<&str> {
        let principal = self.principal.as_ref()?;
        Some(principal.shown_name().unwrap_or(principal.name()))
    }

    /// Whether it may speak for devices at all.
    pub(crate) fn is_device(&self) -> bool {
        self.allows(|principal| principal.has(Role::Device))
    }

    /// Whether it may connect to devices at all.
    pub(crate) fn is_client(&self) -> bool {
        self.allows(|principal| principal.has(Role::Client) || principal.has(Role::Admin))
    }

    /// Whether it may see which devices there are.
    pub(crate) fn may_list(&self) -> bool {
        self.allows(|principal| principal.may_list())
    }

    pub(crate) fn may_register(&self, device_id: &DeviceId) -> bool {
        self.allows(|principal| principal.may_register(device_id))
    }

    pub(crate) fn may_connect(&self, device_id: &DeviceId) -> bool {
        self.allows(|principal| principal.may_connect(device_id))
    }

    /// Whether the device is one that it may know of.
    pub(crate) fn may_see(&self, address: &Address) -> bool {
        let is_own = match (&address.realm, self.tenant()) {
            (Realm::Common, None) => true,
            (Realm::Tenant(name), Some(tenant)) => **name == *tenant,
            (Realm::Tenant(_), None) => self.is_operator(),
            (Realm::Common, Some(_)) | (Realm::Nowhere(_), _) => false,
        };
        is_own && self.allows(|principal| principal.may_see(&address.device_id))
    }

    /// Whose devices a list shows it.
    pub(crate) fn view(&self) -> View {
        if self.is_operator() && self.tenant().is_none() { View::All } else { View::Of(self.realm()) }
    }

    /// Whether it sees every device in its view.
    pub(crate) fn sees_all(&self) -> bool {
        self.allows(|principal| principal.sees_all())
    }

    /// Where its devices are; those of an operator that means no tenant, where those of nobody's tenant are.
    pub(crate) fn realm(&self) -> Realm {
        self.tenant().map_or(Realm::Common, |tenant| Realm::Tenant(tenant.into()))
    }

    pub(crate) fn tenant(&self) -> Option<&str> {
        Some(self.principal.as_ref()?.tenant()?.as_str())
    }

    /// As the hub knows it.
    pub(crate) fn party(&self) -> Option<Arc<Party>> {
        let principal = self.principal.as_ref()?;
        let prefix = principal.prefix().map(Prefix::to_shared);
        Some(Arc::new(Party { identity: principal.identity().into(), realm: self.realm(), prefix }))
    }

    /// Whose its queues are: its account's, or those of the address that it comes from.
    pub(crate) fn owner(&self, address: IpAddr) -> Owner {
        let name = match &self.principal {
            Some(principal) => principal.account().into(),
            None => group(address).to_string().into(),
        };
        Owner { realm: self.realm(), name }
    }

    /// Bytes that what is known of it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.principal.as_ref().map_or(0, |principal| principal.bytes()) + self.chain.as_ref().map_or(0, Chain::bytes)
    }

    /// Its account, if it could find out by guessing what no list shows it.
    pub(crate) fn guesser(&self) -> Option<Cow<'_, str>> {
        self.principal.as_ref().filter(|principal| !principal.sees_all()).map(|principal| principal.account())
    }

    /// When what it came with expires, in seconds since 1970.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        self.principal.as_ref()?.expires_at()
    }

    /// Whether the time is over of what it came with, or of the certificate that its connection showed. `now` is in seconds since 1970.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.principal.as_ref().is_some_and(|principal| principal.is_over(now))
            || self.chain.as_ref().is_some_and(|chain| chain.is_over(now))
    }

    fn allows(&self, rule: impl FnOnce(&Principal) -> bool) -> bool {
        self.principal.as_ref().is_none_or(|principal| rule(principal))
    }
}

impl View {
    /// Whether a device of this realm is in it.
    pub(crate) fn has(&self, realm: &Realm) -> bool {
        match self {
            Self::Of(own) => own == realm,
            Self::All => !matches!(realm, Realm::Nowhere(_)),
        }
    }
}
