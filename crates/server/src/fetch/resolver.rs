//! From names to addresses that may be asked.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use thiserror::Error;
use tower_service::Service;

use super::address;

/// All addresses of a name are private.
#[derive(Debug, Error)]
#[error("its address is private")]
pub(super) struct PrivateAddress;

/// The system's resolver, without the addresses that may not be asked. The connection is made to what it gives, so a name
/// that has another address a moment later gains nothing by it.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    system: GaiResolver,
    allow_private: bool,
}

impl Resolver {
    pub(super) fn new(allow_private: bool) -> Self {
        Self { system: GaiResolver::new(), allow_private }
    }
}

impl Service<Name> for Resolver {
    type Response = IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<IntoIter<SocketAddr>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(self.system.poll_ready(cx)))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (addresses, allow_private) = (self.system.call(name), self.allow_private);
        Box::pin(async move { allowed(addresses.await?, allow_private) })
    }
}

fn allowed(addresses: impl Iterator<Item = SocketAddr>, allow_private: bool) -> io::Result<IntoIter<SocketAddr>> {
    let may = |at: &SocketAddr| allow_private || !address::is_private(at.ip());
    let allowed: Vec<_> = addresses.filter(may).collect();
    if allowed.is_empty() { Err(io::Error::other(PrivateAddress)) } else { Ok(allowed.into_iter()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_of_a_name_are_left_out() {
        let [private, public] =
            ["10.0.0.1:443", "1.1.1.1:443"].map(|text| text.parse::<SocketAddr>().expect("an address"));
        let all = |list: &[SocketAddr], allow| allowed(list.iter().copied(), allow).map(Vec::from_iter);
        assert_eq!(all(&[private, public], false).expect("one is left"), [public]);
        assert_eq!(all(&[private, public], true).expect("both"), [private, public]);
        let refused = all(&[private], false).expect_err("none is left");
        assert!(refused.get_ref().is_some_and(|inner| inner.is::<PrivateAddress>()));
    }
}
