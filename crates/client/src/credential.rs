//! Who we are to a server: a bearer token (RFC 6750), the same each time or a fresh one for each connection.
//!
//! Owns the text of the token. Invariants:
//!
//! 1. Neither `Debug` nor an error shows it, and it is never part of a URL.
//! 2. It goes into one header of the upgrade request, whose value is marked as sensitive, and nowhere else.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderValue;
use thiserror::Error;

/// What any server of ours takes.
const MAX_BYTES: usize = 8192;

/// What a secret is printed as.
const HIDDEN: &str = "***";

/// Why there is no token, in words of the one who was asked for it.
pub(crate) type NoToken = Box<dyn StdError + Send + Sync>;

type Fetch = Pin<Box<dyn Future<Output = Result<Token, NoToken>> + Send>>;

/// A text that can't be a token; it does not say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a token has 1 to 8192 visible ASCII characters, and neither a space nor a comma")]
pub struct NotAToken;

/// A bearer token. `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

impl Token {
    /// Takes a token as the server's operator gives it out, without a line break at its end.
    ///
    /// # Errors
    /// [`NotAToken`].
    pub fn new(text: &str) -> Result<Self, NotAToken> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if !is_visible || text.is_empty() || text.len() > MAX_BYTES {
            return Err(NotAToken);
        }
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| NotAToken)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// What we show a server, see [`Endpoint::with_credential`](crate::Endpoint::with_credential). A [`Token`] is one that stays
/// the same.
///
/// A server that does not let in a token that stays the same (401, 403) would not do so later. So that is the end, and the
/// application is told. With a provider it is tried again, with the pauses of [`Backoff`](crate::Backoff).
///
/// A connection that the server closes for its token (4003, `credential_expired`) ends nothing yet, whatever the credential:
/// the token may have expired, but may just as well be good still, for longer or for another device than before. So it is
/// shown once more, after the usual pause, and the answer to that counts.
#[derive(Clone)]
pub struct Credential(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Token),
    Provider(Arc<dyn Fn() -> Fetch + Send + Sync>),
}

impl Credential {
    /// A function that is asked for a token before each connection, for tokens that expire. The time it takes is part of the
    /// patience with which a connection is made; after that its future is dropped. If it fails, the attempt has failed, and
    /// its error is part of the reason that the application is told: the token must not be in there.
    pub fn provider<F, Answer>(fetch: F) -> Self
    where
        F: Fn() -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<Token, Box<dyn StdError + Send + Sync>>> + Send + 'static,
    {
        Self(Kind::Provider(Arc::new(move || Box::pin(fetch()))))
    }

    /// Whether the next token may be another one.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self.0, Kind::Provider(_))
    }

    /// The value of `Authorization`.
    pub(crate) async fn authorization(&self) -> Result<HeaderValue, NoToken> {
        match &self.0 {
            Kind::Fixed(token) => Ok(token.0.clone()),
            Kind::Provider(fetch) => fetch().await.map(|token| token.0),
        }
    }
}

impl From<Token> for Credential {
    fn from(token: Token) -> Self {
        Self(Kind::Fixed(token))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_text_is_a_token_and_nothing_else_is() {
        let longest = "x".repeat(MAX_BYTES);
        for text in ["x", "cbt_-._~", "a.b+/c==", longest.as_str()] {
            assert!(Token::new(text).is_ok(), "{text}");
        }
        let too_long = "x".repeat(MAX_BYTES + 1);
        for text in ["", " ", "a b", "a,b", "a\n", "a\r\nX: y", "caf\u{e9}", "\0", too_long.as_str()] {
            assert_eq!(Token::new(text), Err(NotAToken), "{text:?}");
        }
    }

    #[tokio::test]
    async fn token_is_shown_by_nothing_but_its_header() {
        let token = Token::new("CANARY").unwrap();
        let fixed = Credential::from(token.clone());
        let provider = Credential::provider(|| async { Ok(Token::new("CANARY")?) });
        let headers = (fixed.authorization().await.unwrap(), provider.authorization().await.unwrap());
        assert_eq!((headers.0.as_bytes(), headers.1.as_bytes()), (&b"Bearer CANARY"[..], &b"Bearer CANARY"[..]));
        let shown = format!("{token:?} {fixed:?} {provider:?} {headers:?} {:?}", Token::new("CANARY,"));
        assert!(!shown.contains("CANARY") && shown.contains(HIDDEN), "{shown}");
    }
}
