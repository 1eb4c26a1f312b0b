//! `[[access.user]]`: whom users of this machine stand for.

use cuttlebone_access::{UserFields, UserRule, Users, Who};

use super::super::super::accounts::{self, Kind};
use super::super::super::raw::{RawAccount, RawUser};
use super::super::check::Check;

/// What the system says of every user or group that it can't name to this process: that of another namespace.
const NOBODY_IN_PARTICULAR: u32 = 65_534;

/// `None` if any is faulty: they are taken together, for the first that fits decides.
pub(super) fn users(raw: &[RawUser], check: &mut Check<'_>) -> Option<Users> {
    let rules = raw
        .iter()
        .enumerate()
        .map(|(at, raw)| rule(raw).map_err(|(key, text)| check.fault(&format!("access.user[{at}]{key}"), text)).ok());
    // All faults are noted before one counts.
    let rules: Vec<Option<_>> = rules.collect();
    rules.into_iter().collect::<Option<_>>().map(Users::new)
}

fn rule(raw: &RawUser) -> Result<UserRule, (&'static str, String)> {
    let number = |kind, key, account: &RawAccount| {
        let number = accounts::number(kind, account).map_err(|text| (key, text))?;
        if number == NOBODY_IN_PARTICULAR {
            let text =
                format!("{number} is what the system says of everybody whom it can't name: it stands for nobody");
            return Err((key, text));
        }
        Ok(number)
    };
    let who = match (&raw.user, &raw.group) {
        (Some(user), None) => Who::User(number(Kind::User, ".user", user)?),
        (None, Some(group)) => Who::Group(number(Kind::Group, ".group", group)?),
        _ => return Err(("", "needs either user or group".into())),
    };
    let fields = UserFields {
        name: &raw.name,
        roles: &raw.roles,
        devices: raw.devices.as_deref(),
        tenant: raw.tenant.as_deref(),
    };
    UserRule::new(who, fields).map_err(|fault| ("", fault.to_string()))
}
