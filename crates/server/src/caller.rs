//! Who a request or a connection comes from, and what that one may do.

use std::sync::Arc;

use cuttlebone_access::{Principal, Role};
use cuttlebone_hub::{Address, Party, Realm};
use cuttlebone_proto::DeviceId;

/// One who was recognised; or anybody, where the server serves anybody: then everything is allowed.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Option<Arc<Principal>>);

impl Caller {
    /// Nobody in particular.
    pub(crate) const ANYBODY: Self = Self(None);

    /// One who was recognised.
    pub(crate) fn known(principal: Arc<Principal>) -> Self {
        Self(Some(principal))
    }

    pub(crate) fn principal(&self) -> Option<&Arc<Principal>> {
        self.0.as_ref()
    }

    /// For logs.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|principal| principal.name())
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
            (Realm::Common | Realm::Tenant(_) | Realm::Nowhere, _) => false,
        };
        is_own && self.allows(|principal| principal.may_see(&address.device_id))
    }

    /// Whether it sees every device of everybody who belongs to no tenant.
    pub(crate) fn sees_all_common(&self) -> bool {
        self.tenant().is_none() && self.allows(|principal| principal.sees_all())
    }

    /// Where its devices are.
    pub(crate) fn realm(&self) -> Realm {
        self.tenant().map_or(Realm::Common, |tenant| Realm::Tenant(tenant.into()))
    }

    pub(crate) fn tenant(&self) -> Option<&str> {
        Some(self.0.as_ref()?.tenant()?.as_str())
    }

    /// As the hub knows it.
    pub(crate) fn party(&self) -> Option<Arc<Party>> {
        let principal = self.0.as_ref()?;
        Some(Arc::new(Party { identity: principal.identity().into(), realm: self.realm() }))
    }

    /// When what it came with expires, in seconds since 1970.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        self.0.as_ref()?.expires_at()
    }

    /// Whether the time of what it came with is over, in seconds since 1970.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.0.as_ref().is_some_and(|principal| principal.is_over(now))
    }

    fn allows(&self, rule: impl FnOnce(&Principal) -> bool) -> bool {
        self.0.as_ref().is_none_or(|principal| rule(principal))
    }
}
