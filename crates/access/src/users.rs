//! Users of this machine, and whom they stand for: the system says who is at the other end of a unix socket.

use std::sync::Arc;

use crate::pattern::{InvalidPattern, Patterns};
use crate::principal::{Grant, Principal};
use crate::role::{Role, Roles, UnknownRole};
use crate::tenant::{InvalidName, check_name};

/// Rules in the order in which they are looked at. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Users(Arc<[UserRule]>);

/// One rule: a user or a group, and whom it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRule {
    who: Who,
    name: Box<str>,
    grant: Grant,
}

/// A user, or all whose process has this as its group. The further groups of a user do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The number of a user.
    User(u32),
    /// The number of a group.
    Group(u32),
}

/// What a rule says, as it is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct UserFields<'a> {
    /// The name that logs and identities have: all whom the rule is for are one identity.
    pub name: &'a str,
    /// The names of roles.
    pub roles: &'a [String],
    /// Patterns of device ids. `None` is every device, where the roles let nothing be said.
    pub devices: Option<&'a [String]>,
    /// The tenant.
    pub tenant: Option<&'a str>,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserFault {
    /// The name is none.
    #[error("name: {0}")]
    Name(InvalidName),
    /// No role, or one that there is not.
    #[error("roles: {0}")]
    Role(UnknownRole),
    /// There is none.
    #[error("roles: needs at least one")]
    NoRole,
    /// A pattern is none.
    #[error("devices: {0}")]
    Devices(InvalidPattern),
    /// The role needs patterns.
    #[error("devices: is needed by its role, such as [\"lab7/*\"]")]
    NoDevices,
    /// The tenant is none.
    #[error("tenant: {0}")]
    Tenant(InvalidName),
}

impl UserRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// The first fault.
    pub fn new(who: Who, fields: UserFields<'_>) -> Result<Self, UserFault> {
        let name = check_name(fields.name).map_err(UserFault::Name)?;
        let roles: Roles =
            fields.roles.iter().map(|role| role.parse::<Role>().map_err(UserFault::Role)).collect::<Result<_, _>>()?;
        if roles.is_empty() {
            return Err(UserFault::NoRole);
        }
        let devices = match fields.devices {
            None | Some([]) if roles.need_devices() => return Err(UserFault::NoDevices),
            None => Patterns::all(),
            Some(texts) => Patterns::new(texts.iter().map(String::as_str)).map_err(UserFault::Devices)?,
        };
        let tenant = fields.tenant.map(|tenant| tenant.parse().map_err(UserFault::Tenant)).transpose()?;
        let grant = Grant { roles, devices, tenant, ..Grant::default() };
        Ok(Self { who, name: name.into(), grant })
    }
}

impl Users {
    /// Rules in this order.
    #[must_use]
    pub fn new(rules: Vec<UserRule>) -> Self {
        Self(rules.into())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whom the first rule stands for that is for this user or this group.
    pub(crate) fn find(&self, user: u32, group: u32) -> Option<Principal> {
        let fits = |rule: &&UserRule| rule.who == Who::User(user) || rule.who == Who::Group(group);
        let rule = self.0.iter().find(fits)?;
        Some(Principal::of_user(&rule.name, (user, group), rule.grant.clone()))
    }

    /// Whether this user of this group is still the same: the first rule for it may be another one now.
    pub(crate) fn still_have(&self, (user, group): (u32, u32), principal: &Principal) -> bool {
        self.find(user, group).is_some_and(|now| now == *principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Settings};

    fn rule(who: Who, name: &str) -> UserRule {
        let texts = |text: &str| vec![text.to_owned()];
        let (roles, devices) = (texts("device"), texts("lab7/*"));
        let fields = UserFields { name, roles: &roles, devices: Some(&devices), tenant: None };
        UserRule::new(who, fields).expect("good")
    }

    fn access(rules: Vec<UserRule>) -> Access {
        Access::new(Settings { users: Users::new(rules), ..Settings::default() })
    }

    #[test]
    fn first_rule_for_a_user_or_its_group_decides() {
        let access = access(vec![rule(Who::User(7), "host"), rule(Who::Group(9), "lab"), rule(Who::User(8), "late")]);
        let name = |user, group| access.user(user, group).map(|principal| principal.identity().to_owned());
        assert_eq!(name(7, 9).as_deref(), Some("user:host"));
        assert_eq!(name(8, 9).as_deref(), Some("user:lab"));
        assert_eq!(name(8, 1).as_deref(), Some("user:late"));
        assert_eq!((name(9, 7), name(0, 0)), (None, None), "numbers of users are none of groups, and root is nobody");
    }

    #[test]
    fn rule_that_says_something_else_now_is_not_the_same() {
        let before = access(vec![rule(Who::User(7), "host")]);
        let principal = before.user(7, 0).expect("known");
        assert!(before.is_still_good(&principal));
        assert!(access(vec![rule(Who::User(1), "x"), rule(Who::User(7), "host")]).is_still_good(&principal));
        let narrower = vec![rule(Who::Group(0), "guest"), rule(Who::User(7), "host")];
        for now in [vec![], vec![rule(Who::User(8), "host")], vec![rule(Who::User(7), "other")], narrower] {
            assert!(!access(now).is_still_good(&principal));
        }
    }

    #[test]
    fn every_fault_of_a_rule_is_told() {
        let texts = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
        let fault = |name, roles, devices, tenant| {
            let (roles, devices) = (texts(roles), texts(devices));
            let fields = UserFields { name, roles: &roles, devices: Some(&devices), tenant };
            UserRule::new(Who::User(1), fields).err()
        };
        assert_eq!(fault("a", "device", "x", Some("t")), None);
        assert_eq!(fault("a", "observer", "", None), None);
        assert_eq!(fault("a b", "device", "x", None), Some(UserFault::Name(InvalidName)));
        assert_eq!(fault("a", "root", "x", None), Some(UserFault::Role(UnknownRole)));
        assert_eq!(fault("a", "", "x", None), Some(UserFault::NoRole));
        assert_eq!(fault("a", "client", "", None), Some(UserFault::NoDevices));
        assert!(matches!(fault("a", "client", "\n", None), Some(UserFault::Devices(_))));
        assert_eq!(fault("a", "device", "x", Some("")), Some(UserFault::Tenant(InvalidName)));
    }

    /// No pattern is no device; where nothing is said, it is every device.
    #[test]
    fn list_without_patterns_gives_no_device() {
        let sees = |devices: Option<&[String]>| {
            let roles = ["observer".to_owned()];
            let fields = UserFields { name: "host", roles: &roles, devices, tenant: None };
            let rules = vec![UserRule::new(Who::User(7), fields).expect("good")];
            let id = cuttlebone_proto::DeviceId::new("cvd-1").expect("an id");
            access(rules).user(7, 0).expect("known").may_see(&id)
        };
        assert!(sees(None) && !sees(Some(&[])));
        let roles = ["client".to_owned()];
        let fields = UserFields { name: "host", roles: &roles, ..UserFields::default() };
        assert_eq!(UserRule::new(Who::User(7), fields).err(), Some(UserFault::NoDevices));
    }

    #[test]
    fn user_can_be_revoked_by_name() {
        let revoked = crate::Revoked::parse("user:host").expect("a line");
        let users = Users::new(vec![rule(Who::User(7), "host")]);
        let access = Access::new(Settings { users, revoked, ..Settings::default() });
        assert!(access.user(7, 0).is_none());
    }
}
