//! What a hook answers: whom a token stands for.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use crate::pattern::{InvalidPattern, Patterns};
use crate::principal::Grant;
use crate::recent::Weighs;
use crate::role::{Role, Roles, UnknownRole};
use crate::tenant::InvalidName;

/// The longest name, in bytes.
const NAME_BYTES: usize = 256;
/// The longest time, in seconds: a year. A longer one is a mistake.
const MOST_SECONDS: u64 = 366 * 24 * 60 * 60;

/// Whom the hook recognised, and what that one may do.
#[derive(Debug, Clone)]
pub struct HookAnswer {
    pub(crate) name: String,
    pub(crate) grant: Grant,
    expires_in: Option<u64>,
}

/// Why an answer can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HookFault {
    /// It is something else.
    #[error("the answer is not a JSON object with name, roles, devices, tenant and expires_in")]
    Json,
    /// It names nobody.
    #[error("name: 1 to {NAME_BYTES} bytes without control characters")]
    Name,
    /// It gives no role.
    #[error("roles: at least one")]
    NoRole,
    /// It gives a role that there is not.
    #[error("roles: {0}")]
    Role(UnknownRole),
    /// It gives a role that needs device ids, and names none.
    #[error("devices: missing. The roles device and client need ids or patterns, `*` for every device")]
    NoDevices,
    /// It has a pattern that is none.
    #[error("devices: {0}")]
    Devices(InvalidPattern),
    /// It has a tenant that is none.
    #[error("tenant: {0}")]
    Tenant(InvalidName),
    /// It is over already, or never.
    #[error("expires_in: 1 to {MOST_SECONDS} seconds")]
    Expires,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    roles: Vec<String>,
    devices: Option<Vec<String>>,
    tenant: Option<String>,
    expires_in: Option<u64>,
}

impl HookAnswer {
    /// Reads the body of an answer. What else is in it is ignored.
    ///
    /// # Errors
    /// The first fault. None repeats what stands in the answer.
    pub fn parse(body: &[u8]) -> Result<Self, HookFault> {
        // An array would be taken for the fields in their order.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(HookFault::Json);
        }
        let raw: Raw = serde_json::from_slice(body).map_err(|_| HookFault::Json)?;
        if raw.name.is_empty() || raw.name.len() > NAME_BYTES || raw.name.chars().any(char::is_control) {
            return Err(HookFault::Name);
        }
        let roles: Roles =
            raw.roles.iter().map(|name| name.parse::<Role>()).collect::<Result<_, _>>().map_err(HookFault::Role)?;
        if roles.is_empty() {
            return Err(HookFault::NoRole);
        }
        if raw.expires_in.is_some_and(|seconds| !(1..=MOST_SECONDS).contains(&seconds)) {
            return Err(HookFault::Expires);
        }
        let devices = devices(raw.devices.as_deref(), roles)?;
        let tenant = raw.tenant.map(|name| name.parse()).transpose().map_err(HookFault::Tenant)?;
        let grant = Grant { roles, devices, tenant, ..Grant::default() };
        Ok(Self { name: raw.name, grant, expires_in: raw.expires_in })
    }

    /// Until when the answer, given at `now`, lets the token be used, in seconds since 1970. `None` is as long as the hook
    /// knows it.
    #[must_use]
    pub fn expires_at(&self, now: u64) -> Option<u64> {
        self.expires_in.map(|seconds| now.saturating_add(seconds))
    }

    /// Whether `other` says the same of the same one; for how long may differ.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.grant == other.grant
    }
}

impl Weighs for HookAnswer {
    fn bytes(&self) -> usize {
        self.name.len() + self.grant.bytes()
    }
}

fn devices(patterns: Option<&[String]>, roles: Roles) -> Result<Patterns, HookFault> {
    let patterns = match patterns {
        Some(patterns) => Patterns::new(patterns.iter().map(String::as_str)).map_err(HookFault::Devices)?,
        None if roles.need_devices() => return Err(HookFault::NoDevices),
        None => Patterns::all(),
    };
    if roles.need_devices() && patterns.is_empty() { Err(HookFault::NoDevices) } else { Ok(patterns) }
}

/// How long those are good whom the hook recognised by one token. Whoever asks the hook again changes it, for all of them.
#[derive(Debug)]
pub struct Standing {
    until: AtomicU64,
    bytes: usize,
}

impl Standing {
    /// Until `until`, in seconds since 1970. What is kept as long as somebody has it takes so many `bytes`.
    #[must_use]
    pub const fn new(until: u64, bytes: usize) -> Self {
        Self { until: AtomicU64::new(until), bytes }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Until when; 0 if it has ended.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.until.load(Ordering::Acquire)
    }

    /// Whether the hook said something else since.
    #[must_use]
    pub(crate) fn has_ended(&self) -> bool {
        self.until() == 0
    }

    /// The hook still says the same: until then. False for one that has ended, which stays so.
    pub fn extend(&self, until: u64) -> bool {
        self.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| (old != 0).then_some(until)).is_ok()
    }

    /// The hook does not say the same any more.
    pub fn end(&self) {
        self.until.store(0, Ordering::Release);
    }
}

/// Two are the same if they change together.
impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Standing {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Access, Principal, Revoked, Settings};

    const ANN: &str = r#"{"name":"ann","roles":["client"],"devices":["lab7/*"],"tenant":"lab","expires_in":60,"x":[]}"#;

    fn fault(body: &str) -> Option<HookFault> {
        HookAnswer::parse(body.as_bytes()).err()
    }

    #[test]
    fn answer_names_one_who_may_something_for_some_time() {
        let answer = HookAnswer::parse(ANN.as_bytes()).expect("an answer");
        let standing = Arc::new(Standing::new(1_030, 0));
        let ann = Principal::of_hook(&answer, Arc::clone(&standing), 1_000);
        assert_eq!((ann.identity(), ann.name()), ("hook:ann", "ann"));
        assert_eq!(ann.tenant().map(crate::Tenant::as_str), Some("lab"));
        assert_eq!(ann.expires_at(), Some(1_060));
        assert!(ann.has(Role::Client) && !ann.sees_all());
        assert!(!ann.is_over(1_029) && ann.is_over(1_030));
        assert!(standing.extend(1_040));
        assert!(!ann.is_over(1_039) && ann.is_over(1_040));
        standing.end();
        assert!(!standing.extend(1_040));
        let access = Access::new(Settings::default());
        assert!(!access.is_still_good(&ann), "what has ended is good no more");
        assert!(!ann.is_over(u64::MAX), "and that is not because of the time");
    }

    #[test]
    fn what_is_no_answer_is_a_fault() {
        for (body, expected) in [
            ("", HookFault::Json),
            ("[\"ann\",[\"client\"],[\"*\"],null,null]", HookFault::Json),
            ("{}", HookFault::Json),
            (r#"{"name":"ann","roles":"client","devices":["*"]}"#, HookFault::Json),
            (r#"{"name":"ann","roles":["observer"],"expires_in":1.5}"#, HookFault::Json),
            (r#"{"name":"ann","roles":["observer"]} x"#, HookFault::Json),
            (r#"{"name":"","roles":["observer"]}"#, HookFault::Name),
            (r#"{"name":"a\nb","roles":["observer"]}"#, HookFault::Name),
            (r#"{"name":"ann","roles":[]}"#, HookFault::NoRole),
            (r#"{"name":"ann","roles":["observer","root"]}"#, HookFault::Role(UnknownRole)),
            (r#"{"name":"ann","roles":["client"]}"#, HookFault::NoDevices),
            (r#"{"name":"ann","roles":["client"],"devices":[]}"#, HookFault::NoDevices),
            (r#"{"name":"ann","roles":["client"],"devices":[""]}"#, HookFault::Devices(InvalidPattern::Empty)),
            (r#"{"name":"ann","roles":["observer"],"tenant":"a b"}"#, HookFault::Tenant(InvalidName)),
            (r#"{"name":"ann","roles":["observer"],"expires_in":0}"#, HookFault::Expires),
            (r#"{"name":"ann","roles":["observer"],"expires_in":99999999999}"#, HookFault::Expires),
        ] {
            assert_eq!(fault(body), Some(expected), "{body}");
        }
        assert_eq!(fault(&format!(r#"{{"name":"{}","roles":["observer"]}}"#, "x".repeat(257))), Some(HookFault::Name));
        assert_eq!(fault(r#"{"name":"ann","roles":["observer"],"devices":null,"tenant":null}"#), None);
    }

    #[test]
    fn same_answer_is_one_that_gives_the_same_however_long() {
        let of = |body: &str| HookAnswer::parse(body.as_bytes()).expect("an answer");
        assert!(of(ANN).is_same(&of(&ANN.replace("60", "7"))));
        for (old, new) in [("ann", "bob"), ("client", "device"), ("lab7/*", "*"), ("\"lab\"", "\"other\"")] {
            assert!(!of(ANN).is_same(&of(&ANN.replace(old, new))), "{new}");
        }
    }

    #[test]
    fn one_of_the_hook_is_revoked_by_name() {
        let answer = HookAnswer::parse(ANN.as_bytes()).expect("an answer");
        let ann = Principal::of_hook(&answer, Arc::new(Standing::new(u64::MAX, 0)), 0);
        for (line, good) in [("", true), ("hook:ann", false), ("hook:bob", true), ("token:ann", true)] {
            let revoked = Revoked::parse(line).expect("a good file");
            let access = Access::new(Settings { revoked, ..Settings::default() });
            assert_eq!(access.is_still_good(&ann), good, "{line}");
        }
    }
}
