//! Who vouches for certificates, and which of them no longer.

use std::cell::RefCell;
use std::fmt;
use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder, VerifiedPath, anchor_from_trusted_cert,
};

use super::chain::Chain;
use super::issuer::{Issuer, validity};
use crate::digest::sha256;

/// Authorities, and their lists of what is revoked. Cheap to clone.
#[derive(Clone)]
pub struct CertificateTrust {
    authorities: Arc<Authorities>,
    lists: Arc<Lists>,
}

struct Authorities {
    anchors: Vec<TrustAnchor<'static>>,
    /// What is known of each of them.
    known: Vec<Issuer>,
    /// The hash of their text.
    print: [u8; 32],
}

#[derive(Default)]
struct Lists {
    revoked: Vec<CertRevocationList<'static>>,
    /// The hash of their text.
    print: [u8; 32],
}

/// What is known of a chain that is good.
pub(super) struct Vouched {
    /// When all of it is that is needed.
    pub(super) good: Range<u64>,
    /// Whether one of the authorities on it may vouch for some names only.
    pub(super) is_constrained: bool,
}

/// Why a text gives no trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// The text is not PEM.
    #[error("is not valid PEM")]
    Pem,
    /// No certificate is in it.
    #[error("has no certificate in it (expected -----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// A certificate can't be read.
    #[error("certificate {0} in it can't be read")]
    Certificate(usize),
    /// A certificate is none of an authority.
    #[error("certificate {0} in it is none of an authority (CA:TRUE, and if it has key usages, Certificate Sign)")]
    NoAuthority(usize),
    /// No list is in it.
    #[error("has no list in it (expected -----BEGIN X509 CRL-----)")]
    NoList,
    /// A list is none.
    #[error("list {0} in it can't be read")]
    List(usize),
    /// An authority has two: one of them would not count.
    #[error("list {0} in it is of an authority of which another is there: keep the newest of each")]
    SecondList(usize),
}

impl CertificateTrust {
    /// The authorities whose certificates are in a PEM file.
    ///
    /// # Errors
    /// The first fault.
    pub fn new(authorities: &str) -> Result<Self, TrustFault> {
        let certificates = CertificateDer::pem_slice_iter(authorities.as_bytes()).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|_| TrustFault::Pem)?;
        let authority = |(at, der): (usize, &CertificateDer<'_>)| {
            let anchor = anchor_from_trusted_cert(der).map_err(|_| TrustFault::Certificate(at + 1))?;
            Ok((anchor.to_owned(), Issuer::read(der).ok_or(TrustFault::NoAuthority(at + 1))?))
        };
        let all = certificates.iter().enumerate().map(authority).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() {
            return Err(TrustFault::NoCertificate);
        }
        let (anchors, known) = all.into_iter().unzip();
        let authorities = Authorities { anchors, known, print: sha256(&[authorities.as_bytes()]) };
        Ok(Self { authorities: Arc::new(authorities), lists: Arc::default() })
    }

    /// The same, but what is on the lists of a PEM file is not good, nor what is of an authority without one.
    ///
    /// # Errors
    /// The first fault.
    pub fn without_revoked(self, lists: &str) -> Result<Self, TrustFault> {
        let print = sha256(&[lists.as_bytes()]);
        let lists = CertificateRevocationListDer::pem_slice_iter(lists.as_bytes()).collect::<Result<Vec<_>, _>>();
        let lists = lists.map_err(|_| TrustFault::Pem)?;
        let list = |(at, der): (usize, &CertificateRevocationListDer<'_>)| {
            let list = OwnedCertRevocationList::from_der(der).map_err(|_| TrustFault::List(at + 1))?;
            Ok(CertRevocationList::from(list))
        };
        let revoked = lists.iter().enumerate().map(list).collect::<Result<Vec<_>, _>>()?;
        if revoked.is_empty() {
            return Err(TrustFault::NoList);
        }
        // The library looks at the first of an authority alone.
        let issuers = revoked.iter().map(CertRevocationList::issuer).enumerate();
        let has_another = |(at, issuer)| revoked.iter().take(at).any(|other| other.issuer() == issuer);
        match issuers.filter(|it| has_another(*it)).map(|(at, _)| at + 1).next() {
            Some(second) => Err(TrustFault::SecondList(second)),
            None => Ok(Self { lists: Arc::new(Lists { revoked, print }), ..self }),
        }
    }

    /// The same authorities, with the lists of another.
    #[must_use]
    pub fn with_lists_of(&self, other: &Self) -> Self {
        Self { lists: Arc::clone(&other.lists), ..self.clone() }
    }

    /// Whether both have the same authorities and lists.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.authorities.print, self.lists.print) == (other.authorities.print, other.lists.print)
    }

    /// When the chain is good, if it is now.
    pub(crate) fn good(&self, chain: &Chain, now: u64) -> Option<Range<u64>> {
        self.verify(chain, now).map(|vouched| vouched.good)
    }

    /// What is to be known of the chain, if it is good now.
    pub(super) fn verify(&self, chain: &Chain, now: u64) -> Option<Vouched> {
        let own = chain.leaf()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let lists: Vec<_> = self.lists.revoked.iter().collect();
        // Its defaults: the whole path, and what no list tells of is not good.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(RevocationOptionsBuilder::build);
        let leaf = EndEntityCert::try_from(own).ok()?;
        let best = RefCell::new(None::<Vouched>);
        // All ways are looked for, as if none were any good: who vouches may change. One by which any name may be vouched for counts
        // before others, and then the one that is good for longest.
        let _none = leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &self.authorities.anchors,
            chain.others(),
            time,
            KeyUsage::client_auth(),
            revocation,
            Some(&|path: &VerifiedPath<'_>| {
                let mut best = best.borrow_mut();
                let way = self.way(chain, path).filter(|way| way.good.contains(&now));
                *best = best.take().into_iter().chain(way).max_by_key(|way| (!way.is_constrained, way.good.end));
                Err(webpki::Error::UnknownIssuer)
            }),
        );
        best.into_inner()
    }

    /// What is known by one way to an authority. `None` if one of those on it is none: that it may sign, and is not over itself, the
    /// library looks at in part.
    fn way(&self, chain: &Chain, path: &VerifiedPath<'_>) -> Option<Vouched> {
        let at = self.authorities.anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()))?;
        let Issuer { mut good, mut is_constrained } = self.authorities.known.get(at)?.clone();
        let own = Issuer { good: validity(chain.leaf()?)?, is_constrained: false };
        let between = path.intermediate_certificates().map(|issuer| Issuer::read(&issuer.der()));
        for next in iter::once(Some(own)).chain(between) {
            let next = next?;
            good = good.start.max(next.good.start)..good.end.min(next.good.end);
            is_constrained |= next.is_constrained;
        }
        Some(Vouched { good, is_constrained })
    }
}

impl fmt::Debug for CertificateTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateTrust({})", self.authorities.anchors.len())
    }
}
