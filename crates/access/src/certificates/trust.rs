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
use super::names::{is_constrained, validity};

/// Authorities, and their lists of what is revoked. Cheap to clone.
#[derive(Clone)]
pub struct CertificateTrust(Arc<Inner>);

struct Inner {
    anchors: Vec<TrustAnchor<'static>>,
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
    /// A certificate is none of an authority.
    #[error("certificate {0} in it can't be read")]
    Certificate(usize),
    /// No list is in it.
    #[error("has no list in it (expected -----BEGIN X509 CRL-----)")]
    NoList,
    /// A list is none.
    #[error("list {0} in it can't be read")]
    List(usize),
}

impl CertificateTrust {
    /// The authorities whose certificates are in a PEM file.
    ///
    /// # Errors
    /// The first fault.
    pub fn new(authorities: &str) -> Result<Self, TrustFault> {
        let certificates = CertificateDer::pem_slice_iter(authorities.as_bytes()).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|_| TrustFault::Pem)?;
        let anchor = |(at, der): (usize, &CertificateDer<'_>)| {
            let anchor = anchor_from_trusted_cert(der).map_err(|_| TrustFault::Certificate(at + 1))?;
            Ok(anchor.to_owned())
        };
        let anchors = certificates.iter().enumerate().map(anchor).collect::<Result<Vec<_>, _>>()?;
        if anchors.is_empty() {
            return Err(TrustFault::NoCertificate);
        }
        Ok(Self(Arc::new(Inner { anchors, revoked: Arc::default() })))
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
        Ok(Self(Arc::new(Inner { anchors: self.0.anchors.clone(), revoked })))
    }

    /// The same authorities, with the lists of another.
    #[must_use]
    pub fn with_lists_of(&self, other: &Self) -> Self {
        Self(Arc::new(Inner { anchors: self.0.anchors.clone(), revoked: Arc::clone(&other.0.revoked) }))
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
                ways.borrow_mut().extend(Way::new(chain, path).filter(|way| way.good.contains(&now)));
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
    fn new(chain: &Chain, path: &VerifiedPath<'_>) -> Option<Self> {
        let mut way = Self {
            issuers: Vec::new(),
            good: validity(chain.leaf()?)?,
            is_constrained: path.anchor().name_constraints.is_some(),
        };
        for issuer in path.intermediate_certificates() {
            let at = chain.others().iter().position(|der| *der == issuer.der())?;
            let der = chain.others().get(at)?;
            let its = validity(der)?;
            way.issuers.push(at);
            way.good = way.good.start.max(its.start)..way.good.end.min(its.end);
            way.is_constrained |= is_constrained(der);
        }
        Some(way)
    }
}

impl fmt::Debug for CertificateTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateTrust({})", self.0.anchors.len())
    }
}
