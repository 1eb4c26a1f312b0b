//! Who vouches for certificates, and which of them no longer.

use std::cell::RefCell;
use std::fmt;
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

/// Authorities, and their lists of what is revoked. Cheap to clone.
#[derive(Clone)]
pub struct CertificateTrust(Arc<Inner>);

struct Inner {
    anchors: Vec<TrustAnchor<'static>>,
    /// What is known of each of them.
    authorities: Vec<Issuer>,
    revoked: Arc<[CertRevocationList<'static>]>,
}

/// What is known of a chain that is good.
pub(super) struct Vouched {
    /// It, without what the peer sent along for nothing: with all that is on a way to an authority.
    pub(super) path: Chain,
    /// When all of the way is that is good for longest.
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
        let (anchors, authorities) = all.into_iter().unzip();
        Ok(Self(Arc::new(Inner { anchors, authorities, revoked: Arc::default() })))
    }

    /// The same, but what is on the lists of a PEM file is not good, nor what is of an authority without one.
    ///
    /// # Errors
    /// The first fault.
    pub fn without_revoked(self, lists: &str) -> Result<Self, TrustFault> {
        let lists = CertificateRevocationListDer::pem_slice_iter(lists.as_bytes()).collect::<Result<Vec<_>, _>>();
        let lists = lists.map_err(|_| TrustFault::Pem)?;
        let list = |(at, der): (usize, &CertificateRevocationListDer<'_>)| {
            let list = OwnedCertRevocationList::from_der(der).map_err(|_| TrustFault::List(at + 1))?;
            Ok(CertRevocationList::from(list))
        };
        let revoked = lists.iter().enumerate().map(list).collect::<Result<Arc<[_]>, _>>()?;
        if revoked.is_empty() {
            return Err(TrustFault::NoList);
        }
        // The library looks at the first of an authority alone.
        let issuers = revoked.iter().map(CertRevocationList::issuer).enumerate();
        let has_another = |(at, issuer)| revoked.iter().take(at).any(|other| other.issuer() == issuer);
        match issuers.filter(|it| has_another(*it)).map(|(at, _)| at + 1).next() {
            Some(second) => Err(TrustFault::SecondList(second)),
            None => Ok(self.with_lists(revoked)),
        }
    }

    /// The same authorities, with the lists of another.
    #[must_use]
    pub fn with_lists_of(&self, other: &Self) -> Self {
        self.with_lists(Arc::clone(&other.0.revoked))
    }

    fn with_lists(&self, revoked: Arc<[CertRevocationList<'static>]>) -> Self {
        let Inner { anchors, authorities, .. } = &*self.0;
        Self(Arc::new(Inner { anchors: anchors.clone(), authorities: authorities.clone(), revoked }))
    }

    /// When the chain is good, if it is now.
    pub(crate) fn good(&self, chain: &Chain, now: u64) -> Option<Range<u64>> {
        self.verify(chain, now).map(|vouched| vouched.good)
    }

    /// What is to be known of the chain, if it is good now.
    pub(super) fn verify(&self, chain: &Chain, now: u64) -> Option<Vouched> {
        let own = chain.leaf()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let lists: Vec<_> = self.0.revoked.iter().collect();
        // Its defaults: the whole path, and what no list tells of is not good.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(RevocationOptionsBuilder::build);
        let leaf = EndEntityCert::try_from(own).ok()?;
        let ways = RefCell::new(Vec::new());
        // All ways are looked for, as if none were any good: the first may be gone with its authority, and another be there still.
        let _none = leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &self.0.anchors,
            chain.others(),
            time,
            KeyUsage::client_auth(),
            revocation,
            Some(&|path: &VerifiedPath<'_>| {
                ways.borrow_mut().extend(self.way(chain, path).filter(|way| way.good.contains(&now)));
                Err(webpki::Error::UnknownIssuer)
            }),
        );
        let ways = ways.into_inner();
        let Way { good, is_constrained, .. } = ways.iter().max_by_key(|way| way.good.end)?.clone();
        let is_needed = |at: usize| ways.iter().any(|way| way.issuers.contains(&at));
        let needed = chain.others().iter().enumerate().filter(|(at, _)| is_needed(*at)).map(|(_, der)| der);
        let path = Chain::new([own].into_iter().chain(needed).map(AsRef::as_ref))?;
        Some(Vouched { path, good, is_constrained })
    }

    /// `None` if one of those on it is no authority: that it may sign, and is not over itself, the library looks at in part.
    fn way(&self, chain: &Chain, path: &VerifiedPath<'_>) -> Option<Way> {
        let at = self.0.anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()))?;
        let Issuer { good, is_constrained } = self.0.authorities.get(at)?.clone();
        let mut way = Way { issuers: Vec::new(), good, is_constrained };
        way.narrow(validity(chain.leaf()?)?);
        for issuer in path.intermediate_certificates() {
            let at = chain.others().iter().position(|der| *der == issuer.der())?;
            let Issuer { good, is_constrained } = Issuer::read(chain.others().get(at)?)?;
            way.issuers.push(at);
            way.narrow(good);
            way.is_constrained |= is_constrained;
        }
        Some(way)
    }
}

/// One way from the certificate of a peer to an authority.
#[derive(Clone)]
struct Way {
    /// Which of those that the peer sent along are on it.
    issuers: Vec<usize>,
    good: Range<u64>,
    is_constrained: bool,
}

impl Way {
    fn narrow(&mut self, to: Range<u64>) {
        self.good = self.good.start.max(to.start)..self.good.end.min(to.end);
    }
}

impl fmt::Debug for CertificateTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateTrust({})", self.0.anchors.len())
    }
}
