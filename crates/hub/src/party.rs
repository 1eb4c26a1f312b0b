//! For whom a seat speaks, and where its devices are.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cuttlebone_proto::DeviceId;

/// Device ids of one realm have nothing to do with those of another.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Realm {
    /// That of everybody who belongs to no tenant.
    #[default]
    Common,
    /// A tenant's.
    Tenant(Arc<str>),
    /// No device is ever there. Who may not reach a device looks for it here, and can't tell that from a device that is absent.
    /// One for each tenant: who waits here does not count together with those of another.
    Nowhere(Option<Arc<str>>),
}

impl Realm {
    /// The name of the tenant, if it is one's.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Common | Self::Nowhere(_) => None,
        }
    }

    /// Where no device of this realm ever is.
    pub(crate) fn hidden(self) -> Self {
        match self {
            Self::Common => Self::Nowhere(None),
            Self::Tenant(tenant) => Self::Nowhere(Some(tenant)),
            nowhere @ Self::Nowhere(_) => nowhere,
        }
    }
}

/// The same work for each, or looking somebody up where no device is would take longer than where devices are.
impl Hash for Realm {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (kind, tenant) = match self {
            Self::Common => (0, ""),
            Self::Tenant(tenant) => (1, &**tenant),
            Self::Nowhere(tenant) => (2, tenant.as_deref().unwrap_or_default()),
        };
        state.write_u8(kind);
        tenant.hash(state);
    }
}

/// One who has been recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Whoever has the same may take over what this one holds. Source: protocol.md 2.4.
    pub identity: Arc<str>,
    /// Where its devices are.
    pub realm: Realm,
    /// What is put before the id that it registers. The device itself never learns of it.
    pub prefix: Option<Arc<str>>,
}

impl Party {
    /// The realm of one who may not have been recognised.
    #[must_use]
    pub fn realm_of(party: Option<&Arc<Self>>) -> Realm {
        party.map_or(Realm::Common, |party| party.realm.clone())
    }
}

/// Whose the queues of a connection are: what they hold is bounded together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Those in one realm are bounded together, too.
    pub realm: Realm,
    /// Who it is there: somebody who is known, or where somebody comes from who is not.
    pub name: Arc<str>,
}

/// What a device is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Its id.
    pub device_id: DeviceId,
    /// Where that is its id.
    pub realm: Realm,
}

impl Address {
    /// That of a device that belongs to no tenant.
    #[must_use]
    pub fn common(device_id: DeviceId) -> Self {
        Self { device_id, realm: Realm::Common }
    }
}

/// Whether somebody may have what another holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It may: it is the same one, or it is known and the holder is not.
    Own,
    /// It is another.
    Foreign,
    /// Nobody knows who the holder is: whether it lives has to do.
    Open,
}

impl Claim {
    pub(crate) fn on(holder: Option<&Arc<Party>>, asker: Option<&Arc<Party>>) -> Self {
        match (holder, asker) {
            (None, None) => Self::Open,
            // Nobody in particular keeps one away who is known.
            (None, Some(_)) => Self::Own,
            (Some(holder), Some(asker)) if holder.identity == asker.identity => Self::Own,
            (Some(_), _) => Self::Foreign,
        }
    }
}
