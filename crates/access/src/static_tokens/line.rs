//! One line of the file.

use super::{PREFIX, date};
use crate::line_fault::TokenFault;
use crate::pattern::Patterns;
use crate::principal::{Grant, Principal};
use crate::role::{Role, Roles};
use crate::tenant::check_name;

/// The hash of a token.
pub(super) type Hash = [u8; 32];

const HASH_PREFIX: &str = "sha256:";

/// In place of a tenant.
const ALL_TENANTS: &str = "*";

/// What a line says, as it stands there.
#[derive(Default)]
struct Words<'a> {
    name: Option<&'a str>,
    role: Option<&'a str>,
    devices: Option<&'a str>,
    tenant: Option<&'a str>,
    expires: Option<&'a str>,
    prefix: Option<&'a str>,
    max_clients: Option<&'a str>,
}

/// The hash in a line, and whom it stands for; else all faults.
pub(super) fn parse(line: &str) -> Result<(Hash, Principal), Vec<TokenFault>> {
    if line.split_whitespace().any(|word| word.contains(PREFIX)) {
        return Err(vec![TokenFault::Secret]);
    }
    let mut faults = Vec::new();
    let mut words = line.split_whitespace();
    let hash = note(&mut faults, words.next().and_then(hash).ok_or(TokenFault::Hash));
    let words = Words::read(words, &mut faults);
    let name = note(&mut faults, words.name());
    let grant = words.grant(&mut faults);
    match (hash, name) {
        (Some(hash), Some(name)) if faults.is_empty() => Ok((hash, Principal::of_static_token(name, hash, grant))),
        _ => Err(faults),
    }
}

/// The line of a token.
pub(super) fn write<'a>(hash: &Hash, words: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]));
    let mut line: String = HASH_PREFIX.chars().chain(digits).collect();
    for (key, value) in words {
        if let Some(value) = value {
            line.extend([" ", key, "=", value]);
        }
    }
    line
}

impl<'a> Words<'a> {
    fn read(words: impl Iterator<Item = &'a str>, faults: &mut Vec<TokenFault>) -> Self {
        let mut read = Self::default();
        for word in words {
            let Some((key, value)) = word.split_once('=') else {
                faults.push(TokenFault::Word);
                continue;
            };
            let (key, place) = match key {
                "name" => ("name", &mut read.name),
                "role" => ("role", &mut read.role),
                "devices" => ("devices", &mut read.devices),
                "tenant" => ("tenant", &mut read.tenant),
                "expires" => ("expires", &mut read.expires),
                "prefix" => ("prefix", &mut read.prefix),
                "max_clients" => ("max_clients", &mut read.max_clients),
                _ => {
                    faults.push(TokenFault::UnknownKey);
                    continue;
                }
            };
            if place.replace(value).is_some() {
                faults.push(TokenFault::Twice(key));
            }
        }
        read
    }

    fn name(&self) -> Result<&'a str, TokenFault> {
        check_name(self.name.ok_or(TokenFault::Missing("name"))?).map_err(TokenFault::Name)
    }

    /// What is faulty is left out.
    fn grant(&self, faults: &mut Vec<TokenFault>) -> Grant {
        let roles = note(faults, self.roles()).unwrap_or_default();
        let devices = note(faults, self.devices(roles)).unwrap_or_default();
        let all_tenants = self.tenant == Some(ALL_TENANTS);
        if all_tenants && !roles.is_empty() && !roles.may_operate() {
            faults.push(TokenFault::Operator);
        }
        let tenant = self.tenant.filter(|_| !all_tenants).map(|tenant| tenant.parse().map_err(TokenFault::Tenant));
        let prefix = self.prefix.map(|prefix| prefix.parse().map_err(TokenFault::Prefix));
        let expires = self.expires.map(|time| date::seconds(time).ok_or(TokenFault::Expires));
        Grant {
            roles,
            devices,
            tenant: note(faults, tenant.transpose()).flatten(),
            all_tenants,
            prefix: note(faults, prefix.transpose()).flatten(),
            max_clients: note(faults, self.max_clients.map(number).transpose()).flatten(),
            expires_at: note(faults, expires.transpose()).flatten(),
        }
    }

    fn roles(&self) -> Result<Roles, TokenFault> {
        let names = self.role.ok_or(TokenFault::Missing("role"))?.split(',');
        names.map(|name| name.parse::<Role>().map_err(TokenFault::Role)).collect()
    }

    fn devices(&self, roles: Roles) -> Result<Patterns, TokenFault> {
        match self.devices {
            Some(patterns) => Patterns::new(patterns.split(',')).map_err(TokenFault::Devices),
            None if roles.need_devices() => Err(TokenFault::NoDevices),
            None => Ok(Patterns::all()),
        }
    }
}

/// The value, if there is one; else its fault is noted.
fn note<T>(faults: &mut Vec<TokenFault>, result: Result<T, TokenFault>) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

/// A number above 0, in digits.
fn number(word: &str) -> Result<u32, TokenFault> {
    let digits = Some(word).filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|word| word.parse().ok()).filter(|number| *number > 0);
    number.ok_or(TokenFault::MaxClients)
}

fn hash(word: &str) -> Option<Hash> {
    let digits = word.strip_prefix(HASH_PREFIX)?;
    let digit = |char: u8| char::from(char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> =
        digits.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect();
    bytes?.try_into().ok()
}
