//! What a browser and this server know of an attempt to sign in, and nobody else.
//!
//! It is in a cookie of that browser, sealed: nothing is kept here, and any server with the same key can go on with it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cuttlebone_access::SessionKey;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use super::page::Page;

/// An attempt. It has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// Tells the answer to this attempt from those to others.
    state: String,
    /// Binds the ID token to it.
    nonce: String,
    /// What the code can't be exchanged without.
    verifier: String,
    page: String,
    /// Seconds since 1970.
    until: u64,
}

impl Attempt {
    /// A new one, that leads to `page` and is over at `until`.
    pub(super) fn new(page: &Page, until: u64) -> Self {
        Self { state: random(), nonce: random(), verifier: random(), page: page.as_str().to_owned(), until }
    }

    pub(super) fn state(&self) -> &str {
        &self.state
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// Whether an answer is one to this attempt.
    pub(crate) fn is_meant(&self, state: Option<&str>) -> bool {
        state == Some(&self.state)
    }

    /// Where it leads.
    pub(crate) fn page(&self) -> Page {
        Page::new(&self.page).unwrap_or_default()
    }
}

/// What seals attempts.
pub(super) struct Seal(LessSafeKey);

impl Seal {
    pub(super) fn new(key: &SessionKey) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key.derive("cuttlebone login 1"));
        Self(LessSafeKey::new(key.expect("the key has the length of the algorithm")))
    }

    pub(super) fn close(&self, attempt: &Attempt) -> String {
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce);
        let mut text = serde_json::to_vec(attempt).unwrap_or_default();
        let sealed = self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text);
        sealed.expect("an attempt is far shorter than what can be sealed");
        URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat())
    }

    /// `None` if it was not sealed here.
    pub(super) fn open(&self, sealed: &str) -> Option<Attempt> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let mut text = text.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.0.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
        serde_json::from_slice(text).ok()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// 32 bytes that nobody can guess, as text.
fn random() -> String {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random numbers once it has started");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(of: u8) -> Seal {
        Seal::new(&SessionKey::new(&[of; 32]).expect("a key"))
    }

    #[test]
    fn attempt_is_read_where_it_was_sealed_and_nowhere_else() {
        let page = Page::new("viewer.html?deviceId=a").expect("a page");
        let attempt = Attempt::new(&page, 7);
        let sealed = seal(1).close(&attempt);
        let opened = seal(1).open(&sealed).expect("ours");
        assert!(opened.is_meant(Some(attempt.state())) && !opened.is_meant(None) && !opened.is_meant(Some("")));
        assert_eq!((opened.page(), opened.until()), (page, 7));
        assert_eq!((opened.nonce(), opened.verifier()), (attempt.nonce(), attempt.verifier()));
        assert!(seal(2).open(&sealed).is_none());
        for at in [0, 5, 20, sealed.len() - 1] {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(seal(1).open(std::str::from_utf8(&changed).expect("text")).is_none(), "{at}");
        }
        for bad in ["", "AAAA", &sealed[..sealed.len() - 4]] {
            assert!(seal(1).open(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn no_two_attempts_share_anything() {
        let [one, two] = [Attempt::new(&Page::default(), 1), Attempt::new(&Page::default(), 1)];
        let mut all = [one.state(), one.nonce(), one.verifier(), two.state(), two.nonce(), two.verifier()];
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(all.iter().all(|text| text.len() == 43), "RFC 7636, 4.1");
        assert!(!seal(1).close(&one).contains(one.state()));
    }

    #[test]
    fn longest_page_fits_into_a_cookie() {
        let page = Page::new(&format!("viewer.html?{}", "a".repeat(2_048))).expect("a page");
        assert!(seal(1).close(&Attempt::new(&page, u64::MAX)).len() < 4_000);
    }
}
