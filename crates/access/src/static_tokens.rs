//! Tokens that stand in a file, as hashes.
//!
//! A token is 32 random bytes, so a hash of it can be neither guessed nor found in a table: there are 2^256 to try. That
//! is why one round of SHA-256 is enough here, while a password would need a slow hash with a salt. Tokens that somebody
//! made up are kept out by their form: what is not `cbt_` and 43 characters is never looked up.
//!
//! A file has a line for each token, and comments:
//!
//! ```text
//! # the camera over bench 7
//! sha256:9f86…0a08 name=cam-7 role=device,client devices=lab7/*,x tenant=lab7 expires=2027-01-31
//! ```
//!
//! `name` tells tokens apart, also in logs. `devices` are patterns with a comma between them (so a comma or a space in a
//! device id is matched by a `*` only); the roles `device` and `client` need them, for others `*` is meant. `tenant` and
//! `expires` may be left out, and so may `prefix`, which is put before the ids that are registered, and `max_clients`, the client
//! connections at once. `tenant=*` is every tenant, for the roles `observer` and `admin` only.

mod date;
mod line;
mod new_token;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::denied::Denied;
use crate::digest::sha256;
use crate::line_fault::{LineFault, TokenFault, lines};
use crate::principal::Principal;

pub use new_token::{NewToken, TokenFields};

/// What every static token begins with.
pub(crate) const PREFIX: &str = "cbt_";

/// The static tokens of a file. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct StaticTokens(Arc<HashMap<[u8; 32], Arc<Principal>>>);

impl StaticTokens {
    /// The most lines of a file.
    pub const MOST_LINES: usize = 100_000;

    /// Reads a file.
    ///
    /// # Errors
    /// All faults, in the order of their lines. None repeats what stands in the file.
    pub fn parse(text: &str) -> Result<Self, Vec<LineFault>> {
        let mut file = File::default();
        for (number, text) in lines(text) {
            if number > Self::MOST_LINES {
                file.fault(number, TokenFault::TooManyLines(Self::MOST_LINES));
                break;
            }
            match line::parse(text) {
                Ok(principal) => file.add(number, principal),
                Err(faults) => faults.into_iter().for_each(|fault| file.fault(number, fault)),
            }
        }
        if file.faults.is_empty() { Ok(Self(Arc::new(file.tokens))) } else { Err(file.faults) }
    }

    /// How many tokens there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who has the token.
    pub(crate) fn authenticate(&self, token: &str, now: u64) -> Result<Arc<Principal>, Denied> {
        let principal = self.0.get(&hash(token)).ok_or(Denied::Unknown)?;
        if principal.expires_at().is_some_and(|end| now >= end) {
            return Err(Denied::Expired);
        }
        Ok(Arc::clone(principal))
    }

    /// Whether the token with this hash is still there, and says the same.
    pub(crate) fn still_has(&self, hash: &[u8; 32], principal: &Principal) -> bool {
        self.0.get(hash).is_some_and(|now| now.is_same(principal))
    }
}

/// Whether `text` has the form of a static token.
pub(crate) fn is_shaped(text: &str) -> bool {
    let random = text.strip_prefix(PREFIX).and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
    random.is_some_and(|random| random.len() == 32)
}

fn hash(token: &str) -> [u8; 32] {
    sha256(&[token.as_bytes()])
}

/// A file that is being read.
#[derive(Default)]
struct File {
    tokens: HashMap<[u8; 32], Arc<Principal>>,
    hash_lines: HashMap<[u8; 32], usize>,
    name_lines: HashMap<String, usize>,
    faults: Vec<LineFault>,
}

impl File {
    fn fault(&mut self, line: usize, fault: TokenFault) {
        self.faults.push(LineFault { line, fault });
    }

    fn add(&mut self, line: usize, (hash, principal): (line::Hash, Principal)) {
        let first = *self.hash_lines.entry(hash).or_insert(line);
        if first != line {
            self.fault(line, TokenFault::SameToken(first));
        }
        let first = *self.name_lines.entry(principal.name().to_owned()).or_insert(line);
        if first != line {
            self.fault(line, TokenFault::SameName(first));
        }
        self.tokens.insert(hash, Arc::new(principal));
    }
}
