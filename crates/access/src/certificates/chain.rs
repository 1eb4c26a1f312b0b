//! What a peer showed.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls_pki_types::CertificateDer;

use super::issuer::validity;
use crate::digest::sha256;

/// The most certificates of one chain.
const MOST: usize = 7;
/// The most bytes of one chain.
const MOST_BYTES: usize = 16 * 1024;

/// The certificate of a peer, and those that it sent along; or nothing. Cheap to clone.
#[derive(Clone)]
pub struct Chain(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    certificates: Vec<CertificateDer<'static>>,
    /// Of all of it.
    hash: [u8; 32],
    /// Of the peer's own.
    own_hash: [u8; 32],
    /// When it was shown, in seconds since 1970.
    shown_at: u64,
}

impl Chain {
    /// Of certificates in DER, the peer's own first. `None` if there is none, or more than any chain has.
    #[must_use]
    pub fn new<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let taken = certificates.into_iter().take(MOST + 1).map(|der| CertificateDer::from(der.to_vec()));
        let certificates: Vec<_> = taken.collect();
        let bytes: usize = certificates.iter().map(|der| der.len()).sum();
        if certificates.len() > MOST || bytes > MOST_BYTES {
            return None;
        }
        // No token has these hashes, for none begins so.
        let own_hash = sha256(&[b"own certificate\0".as_slice(), certificates.first()?]);
        let lengths: Vec<_> = certificates.iter().map(|der| der.len().to_be_bytes()).collect();
        let parts: Vec<&[u8]> = certificates.iter().zip(&lengths).flat_map(|(der, len)| [&len[..], der]).collect();
        let hash = sha256(&[&[b"certificate\0".as_slice()], &parts[..]].concat());
        Some(Self(Arc::new(Inner { certificates, hash, own_hash, shown_at: 0 })))
    }

    /// Bytes that it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Inner>() + self.0.certificates.iter().map(|der| der.len()).sum::<usize>()
    }

    /// When it was shown, in seconds since 1970.
    #[must_use]
    pub fn shown_at(self, now: u64) -> Self {
        Self(Arc::new(Inner { shown_at: now, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The time at which it is to be judged that is asked for: a clock that was set back takes nothing back.
    pub(crate) fn judged_at(&self, at: u64) -> u64 {
        at.max(self.0.shown_at)
    }

    /// That of a peer which showed none: nobody vouches for it.
    #[must_use]
    pub fn of_nobody() -> Self {
        static NOBODY: LazyLock<Chain> = LazyLock::new(|| {
            let (certificates, hash) = (Vec::new(), [0; 32]);
            Chain(Arc::new(Inner { certificates, hash, own_hash: hash, shown_at: 0 }))
        });
        NOBODY.clone()
    }

    /// Whether the peer showed none.
    #[must_use]
    pub fn is_of_nobody(&self) -> bool {
        self.0.certificates.is_empty()
    }

    /// Whether the peer's own is over by itself. `now` is in seconds since 1970.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        self.leaf().and_then(|own| validity(own)).is_some_and(|good| good.end <= now)
    }

    /// The peer's own.
    pub(super) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.0.certificates.first()
    }

    /// Those that it sent along.
    pub(super) fn others(&self) -> &[CertificateDer<'static>] {
        self.0.certificates.get(1..).unwrap_or_default()
    }

    /// That of all of it.
    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.0.hash
    }

    /// That of the peer's own certificate.
    pub(crate) fn own_hash(&self) -> &[u8; 32] {
        &self.0.own_hash
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({})", self.0.certificates.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_is_bounded_and_known_by_all_of_it() {
        let chain = |parts: &[&[u8]]| Chain::new(parts.iter().copied());
        assert!(chain(&[]).is_none());
        let one = b"a".as_slice();
        assert!(chain(&[one; 7]).is_some() && chain(&[one; 8]).is_none());
        assert!(chain(&[&[0; MOST_BYTES]]).is_some() && chain(&[&[0; MOST_BYTES], b"a"]).is_none());
        let hash = |parts: &[&[u8]]| *chain(parts).expect("a chain").hash();
        assert_eq!(hash(&[b"a", b"bc"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a", b"bc"]), hash(&[b"ab", b"c"]));
        assert_ne!(hash(&[b"a", b"b"]), hash(&[b"b", b"a"]));
        let own_hash = |parts: &[&[u8]]| *chain(parts).expect("a chain").own_hash();
        assert!(own_hash(&[b"a", b"b"]) == own_hash(&[b"a"]) && own_hash(&[b"a"]) != own_hash(&[b"b"]));
        assert_ne!(own_hash(&[b"a"]), hash(&[b"a"]));
    }
}
