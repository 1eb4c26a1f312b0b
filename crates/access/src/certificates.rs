//! Client certificates: who vouches for them, and whom a name in one stands for.
//!
//! That the peer has the key was seen in the TLS handshake. Everything else is looked at here, each time anew: sessions of TLS
//! are resumed without it, and who vouches may have changed.

mod chain;
mod issuer;
mod names;
mod rule;
mod trust;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::denied::Denied;
use crate::principal::{Grant, Principal};

pub use chain::Chain;
pub use names::NameKind;
pub use rule::{CertificateRule, RuleFault};
pub use trust::{CertificateTrust, TrustFault};

use names::Leaf;
use rule::Unclear;
use trust::Vouched;

/// Which certificates are accepted, and what they give. Cheap to clone.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    trust: CertificateTrust,
    rules: Vec<CertificateRule>,
}

impl Certificates {
    /// The most rules.
    pub const MOST_RULES: usize = 1000;

    /// Takes those that `trust` vouches for; of the rules the first that fits one of its names says what it gives. Where that is not
    /// clear, nothing is given: later rules are for others.
    ///
    /// # Errors
    /// All faults, each with the number of its rule.
    pub fn new(trust: CertificateTrust, rules: Vec<CertificateRule>) -> Result<Self, Vec<(usize, RuleFault)>> {
        let faults = rules.iter().enumerate().flat_map(|(at, rule)| rule.faults().into_iter().map(move |it| (at, it)));
        let mut faults: Vec<_> = faults.collect();
        if rules.len() > Self::MOST_RULES {
            faults.push((Self::MOST_RULES, RuleFault::TooMany(Self::MOST_RULES)));
        }
        if faults.is_empty() { Ok(Self(Arc::new(Inner { trust, rules }))) } else { Err(faults) }
    }

    /// Whether both take the same certificates for the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.trust.is_same(&other.0.trust) && self.0.rules == other.0.rules
    }

    /// Whose certificate it is, and when all is good that is needed for that. `now` is in seconds since 1970.
    pub(crate) fn recognise(&self, chain: &Chain, now: u64) -> Result<(Principal, Range<u64>), Denied> {
        let Vouched { good, is_constrained } = self.0.trust.verify(chain, now).ok_or(Denied::Certificate)?;
        let leaf = chain.leaf().and_then(|der| Leaf::read(der, is_constrained)).ok_or(Denied::Certificate)?;
        let found = self.0.rules.iter().find_map(|rule| rule.find(&leaf).map(|found| (rule, found)));
        let (rule, found) = found.ok_or(Denied::CertificateName)?;
        let (name, devices) = found.map_err(|Unclear| Denied::CertificateName)?;
        let expires_at = Some(good.end - 1);
        let tenant = rule.tenant.clone();
        let grant = Grant { roles: rule.roles, devices, tenant, expires_at, ..Grant::default() };
        Ok((Principal::of_certificate(rule.kind.name(), name, grant, *chain.own_hash()), good))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}
