//! Faults of the files that have a line for each token.

use std::fmt;

use crate::pattern::InvalidPattern;
use crate::prefix::InvalidPrefix;
use crate::role::UnknownRole;
use crate::tenant::InvalidName;

/// A fault of a file, and where it is. No text repeats what stands in the file: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineFault {
    /// The first line is 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub fault: TokenFault,
}

/// What is wrong with a line, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The file is too long; nothing after this line was read.
    #[error("a file has at most {0} lines")]
    TooManyLines(usize),
    /// There is a token where its hash belongs.
    #[error(
        "this is a token, and its place is with who uses it: here stands its hash. Make a new one: this one was readable"
    )]
    Secret,
    /// The line does not begin with a hash.
    #[error("a line begins with sha256: and 64 hexadecimal digits")]
    Hash,
    /// There is a word without `=`.
    #[error("after the hash come words KEY=VALUE, with space between them and none within")]
    Word,
    /// There is no such key.
    #[error("the keys are name, role, devices, tenant, expires, prefix and max_clients")]
    UnknownKey,
    /// A key is there twice.
    #[error("{0}: given twice")]
    Twice(&'static str),
    /// A key is not there.
    #[error("{0}: missing")]
    Missing(&'static str),
    /// Not a name.
    #[error("name: {0}")]
    Name(InvalidName),
    /// Not a role.
    #[error("role: {0}")]
    Role(UnknownRole),
    /// Not a pattern.
    #[error("devices: {0}")]
    Devices(InvalidPattern),
    /// Who registers or reaches devices says which.
    #[error("devices: missing. The roles device and client need ids or patterns, `*` for every device")]
    NoDevices,
    /// Not a tenant.
    #[error("tenant: {0}")]
    Tenant(InvalidName),
    /// Every tenant, for a role that has one.
    #[error("tenant: `*`, which is every tenant, is for the roles observer and admin only")]
    Operator,
    /// Not a prefix.
    #[error("prefix: {0}")]
    Prefix(InvalidPrefix),
    /// Not a number of clients.
    #[error("max_clients: a number from 1 to 4294967295")]
    MaxClients,
    /// Not a time.
    #[error("expires: a date such as 2027-01-31, which means its first second, or a time such as 2027-01-31T12:00:00Z")]
    Expires,
    /// The token has another line.
    #[error("the same token as in line {0}: a token has one line")]
    SameToken(usize),
    /// The name is another token's.
    #[error("name: the same as in line {0}. Tokens are told apart by it")]
    SameName(usize),
    /// Nobody who could be revoked.
    #[error(
        "a line is token:NAME, user:NAME, jwt:ISSUER#SUBJECT, oidc:ISSUER#SUBJECT, hook:NAME, cert:KIND:NAME (no * in it), or jti:ISSUER#ID"
    )]
    Revoked,
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl std::error::Error for LineFault {}

/// The lines that say something, each with its number: without white space around them, and without comments.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim).enumerate();
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(at, line)| (at + 1, line))
}
