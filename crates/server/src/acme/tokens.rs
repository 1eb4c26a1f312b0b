//! What is answered on the plain port: HTTP-01 (RFC 8555, 8.3).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The files that an authority may ask for, by the name that it gave them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens(Arc<Mutex<HashMap<String, String>>>);

/// A file that is there until this is dropped.
pub(super) struct TokenGuard {
    tokens: Tokens,
    token: String,
}

impl Tokens {
    pub(super) fn answer(&self, token: &str, content: &str) -> TokenGuard {
        self.0.lock().insert(token.to_owned(), content.to_owned());
        TokenGuard { tokens: self.clone(), token: token.to_owned() }
    }

    /// What is in the file of that name.
    pub(crate) fn content(&self, token: &str) -> Option<String> {
        self.0.lock().get(token).cloned()
    }
}

impl Drop for TokenGuard {
    fn drop(&mut self) {
        self.tokens.0.lock().remove(&self.token);
    }
}
