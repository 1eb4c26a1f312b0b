//! Whom a name stands for.

use super::names::{Leaf, NameKind};
use crate::pattern::{InvalidPattern, Pattern, Patterns};
use crate::role::Roles;
use crate::tenant::Tenant;

/// Stands for the whole name.
const NAME: &str = "{name}";
/// Stands for what the `*` of the pattern of the name stands for.
const STAR: &str = "{*}";

/// What a certificate gives that has such a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRule {
    /// Which of its names are looked at.
    pub kind: NameKind,
    /// What one of them has to be; `*` stands for any run of characters. As [`NameKind::spelled`] has it.
    pub name: Pattern,
    /// The roles.
    pub roles: Roles,
    /// Patterns of device ids. In them `{name}` is the name, and `{*}` what the one `*` in [`Self::name`] stands for. `None`
    /// is every device, where the roles let nothing be said.
    pub devices: Option<Vec<String>>,
    /// Whose devices are meant.
    pub tenant: Option<Tenant>,
}

/// A rule fits and gives nothing that can be said, or whether it fits can't be: a name of its kind can't be read, or nobody vouches
/// for it.
#[derive(Debug)]
pub(super) struct Unclear;

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// It gives no role.
    #[error("needs a role")]
    NoRole,
    /// A role needs patterns of device ids, and there are none.
    #[error("needs devices, which its role asks for")]
    NoDevices,
    /// A pattern is none.
    #[error("{0}")]
    Devices(InvalidPattern),
    /// `{*}` stands for nothing.
    #[error("{{*}} in devices needs exactly one * in the name")]
    NoStar,
    /// There are too many rules.
    #[error("at most {0} rules")]
    TooMany(usize),
}

impl CertificateRule {
    /// What is wrong with it.
    pub(super) fn faults(&self) -> Vec<RuleFault> {
        let mut faults = Vec::new();
        if self.roles.is_empty() {
            faults.push(RuleFault::NoRole);
        }
        let devices = self.devices.as_deref().unwrap_or_default();
        if self.roles.need_devices() && devices.is_empty() {
            faults.push(RuleFault::NoDevices);
        }
        if devices.iter().any(|pattern| pattern.contains(STAR)) && self.name.as_str().matches('*').count() != 1 {
            faults.push(RuleFault::NoStar);
        }
        if let Err(fault) = self.devices_of("x", "x") {
            faults.push(RuleFault::Devices(fault));
        }
        faults
    }

    /// The first name that fits, and the devices that it gives.
    pub(super) fn find<'a>(&self, leaf: &'a Leaf) -> Option<Result<(&'a str, Patterns), Unclear>> {
        let Some(name) = leaf.of(self.kind).flatten().find(|name| self.name.matches(name)) else {
            return leaf.of(self.kind).any(|name| name.is_none()).then_some(Err(Unclear));
        };
        if !leaf.is_vouched_for(self.kind) {
            return Some(Err(Unclear));
        }
        let star = self.name.as_str().split_once('*').and_then(|(before, after)| {
            let inner = name.strip_prefix(before)?;
            inner.strip_suffix(after)
        });
        // Patterns are of what it stands for: of nothing they might be of everything.
        if star == Some("") && self.devices.iter().flatten().any(|pattern| pattern.contains(STAR)) {
            return Some(Err(Unclear));
        }
        let devices = self.devices_of(name, star.unwrap_or_default());
        Some(devices.map(|devices| (name, devices)).map_err(|_| Unclear))
    }

    fn devices_of(&self, name: &str, star: &str) -> Result<Patterns, InvalidPattern> {
        let Some(devices) = &self.devices else { return Ok(Patterns::all()) };
        let filled: Vec<_> = devices.iter().map(|pattern| pattern.replace(NAME, name).replace(STAR, star)).collect();
        Patterns::new(filled.iter().map(String::as_str))
    }
}
