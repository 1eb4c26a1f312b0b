//! Making a token.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{PREFIX, date, hash, is_shaped, line};
use crate::line_fault::TokenFault;

/// A token that was just made. Its `Debug` is `***`, and it is wiped when it is dropped.
pub struct NewToken(Zeroizing<String>);

/// What the line of a token says, each as it is written in the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenFields<'a> {
    /// A name that no other token of the file has.
    pub name: &'a str,
    /// Roles, with a comma between them.
    pub role: &'a str,
    /// Patterns of device ids, with a comma between them.
    pub devices: Option<&'a str>,
    /// Whose devices are meant; `*`, every tenant's.
    pub tenant: Option<&'a str>,
    /// A date, or a time in UTC.
    pub expires: Option<&'a str>,
    /// What is put before the ids that it registers.
    pub prefix: Option<&'a str>,
    /// How many client connections it may have at once.
    pub max_clients: Option<&'a str>,
}

impl TokenFields<'_> {
    /// When the token ends, in seconds since 1970; `None` also for what is no time.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        self.expires.and_then(date::seconds)
    }
}

impl NewToken {
    /// The token of 32 bytes, which must come from a source that is fit for keys.
    #[must_use]
    pub fn from_random(random: &[u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(random, &mut text);
        Self(text)
    }

    /// The token that was made and printed before; `None` if this is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_shaped(text).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Its hash, as its line begins.
    #[must_use]
    pub fn hash(&self) -> String {
        line::write(&hash(self.secret()), [])
    }

    /// The secret: for who is to use it, and for nothing else.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Its line for the file.
    ///
    /// # Errors
    /// What would be wrong with that line.
    pub fn line(&self, fields: &TokenFields<'_>) -> Result<String, Vec<TokenFault>> {
        let words = [
            ("name", Some(fields.name)),
            ("role", Some(fields.role)),
            ("devices", fields.devices),
            ("tenant", fields.tenant),
            ("expires", fields.expires),
            ("prefix", fields.prefix),
            ("max_clients", fields.max_clients),
        ];
        if words.iter().filter_map(|(_, value)| *value).any(|value| value.contains(char::is_whitespace)) {
            return Err(vec![TokenFault::Word]);
        }
        let line = line::write(&hash(self.secret()), words);
        line::parse(&line).map(|_| line)
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
