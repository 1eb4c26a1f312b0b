//! What a principal may be.

use std::fmt;
use std::str::FromStr;

/// What a principal may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Registers device ids.
    Device,
    /// Connects to devices, and controls them.
    Client,
    /// Sees the list of devices, and connects to none.
    Observer,
    /// Does what a client does, and what administers the server.
    Admin,
}

/// No role has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the roles are device, client, observer and admin")]
pub struct UnknownRole;

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Device, Self::Client, Self::Observer, Self::Admin];

    /// The name of the role in token files and claims.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Client => "client",
            Self::Observer => "observer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or(UnknownRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);

    /// The same, and `role`.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | 1 << role as u8)
    }

    /// Whether `role` is one of them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & 1 << role as u8 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in the set, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// Whether patterns of device ids must be given for these roles: who registers or reaches devices says which. For the
    /// others every device is meant where nothing is said.
    #[must_use]
    pub const fn need_devices(self) -> bool {
        self.has(Role::Device) || self.has(Role::Client)
    }

    /// Whether one who has these may be an operator, for every tenant: who registers devices, or only controls them,
    /// belongs to one.
    #[must_use]
    pub const fn may_operate(self) -> bool {
        !self.is_empty() && !self.has(Role::Device) && !self.has(Role::Client)
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Role::name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_a_name_of_its_own() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(Role::ALL.into_iter().filter(|other| other.name() == role.name()).count(), 1);
        }
        for bad in ["", "Device", "device ", "root", "device,client"] {
            assert_eq!(bad.parse::<Role>(), Err(UnknownRole), "{bad}");
        }
    }

    #[test]
    fn set_holds_what_was_put_in_and_nothing_else() {
        let roles: Roles = [Role::Admin, Role::Device, Role::Device].into_iter().collect();
        assert_eq!(roles.to_string(), "device,admin");
        assert_eq!(Role::ALL.map(|role| roles.has(role)), [true, false, false, true]);
        assert!(Roles::NONE.is_empty() && !roles.is_empty());
        assert!(roles.need_devices() && !Roles::NONE.with(Role::Observer).with(Role::Admin).need_devices());
        assert!(Roles::NONE.with(Role::Observer).with(Role::Admin).may_operate());
        assert!(!roles.may_operate() && !Roles::NONE.may_operate() && !Roles::NONE.with(Role::Client).may_operate());
    }
}
