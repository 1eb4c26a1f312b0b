//! Who vouches for certificates, and which of them no longer.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder, anchor_from_trusted_cert,
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
    /// It, without what the peer sent along for nothing.
    pub(super) path: Chain,
    /// When all of it is.
    pub(super) good: Range<u64>,
    /// Whether one of its authorities may vouch for some names only.
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
        let mut good = validity(own)?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let lists: Vec<_> = self.0.revoked.iter().collect();
        // Its defaults: the whole path, and what no list tells of is not good.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(RevocationOptionsBuilder::build);
        let leaf = EndEntityCert::try_from(own).ok()?;
        let path = leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &self.0.anchors,
            chain.others(),
            time,
            KeyUsage::client_auth(),
            revocation,
            None,
        );
        let path = path.ok()?;
        let mut is_bound = path.anchor().name_constraints.is_some();
        let mut needed = vec![own.as_ref()];
        for issuer in path.intermediate_certificates() {
            let der = chain.others().iter().find(|der| **der == issuer.der())?;
            needed.push(der);
            is_bound |= is_constrained(der);
            let issuer = validity(der)?;
            good = good.start.max(issuer.start)..good.end.min(issuer.end);
        }
        let path = Chain::new(needed)?;
        good.contains(&now).then_some(Vouched { path, good, is_constrained: is_bound })
    }
}

impl fmt::Debug for CertificateTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateTrust({})", self.0.anchors.len())
    }
}
