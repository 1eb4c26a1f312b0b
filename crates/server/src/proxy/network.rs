//! A network: an address, or all that begin as it does.

use std::fmt;
use std::net::IpAddr;

/// `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads an address, or one with `/PREFIX` behind it whose other bits are zero. One that has everybody in it is none, and
    /// so is an address of IPv4 that is written as one of IPv6.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let all = bits(address);
        let prefix = match prefix {
            None => all,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        let network = Self { address, prefix };
        let is_good = (1..=all).contains(&prefix) && address == address.to_canonical();
        (is_good && network.start(address) == number(address)).then_some(network)
    }

    /// Whether the address is in it, however it is written.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && self.start(address) == number(self.address)
    }

    /// The address with only the bits that count.
    fn start(&self, address: IpAddr) -> u128 {
        // The prefix is at least 1, and so are less than all bits shifted out.
        let rest = bits(address) - self.prefix;
        number(address) >> rest << rest
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

const fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"][..], &["127.0.0.2", "::1", "::7f00:1"][..]),
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                &["11.0.0.0", "9.255.255.255", "::a00:1"],
            ),
            ("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127"]),
            ("::1", &["::1"], &["::2", "0.0.0.1", "127.0.0.1"]),
            ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], &["2001:db9::", "32.1.13.184"]),
            ("128.0.0.0/1", &["255.0.0.1"], &["127.0.0.1"]),
        ] {
            let network = Network::new(network).expect("a network");
            let has = |text: &&str| network.contains(text.parse().expect("an address"));
            assert!(inside.iter().all(has), "{network}");
            assert!(!outside.iter().any(has), "{network}");
        }
    }

    #[test]
    fn what_is_no_network_or_has_everybody_in_it_is_none() {
        for text in [
            "",
            "x",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.1/8",
            "2001:db8::1/32",
            "::/129",
            "0.0.0.0/0",
            "::/0",
            "::ffff:10.0.0.0/104",
            "::ffff:127.0.0.1",
            "10.0.0",
            "localhost",
            "127.0.0.1:80",
            "[::1]",
        ] {
            assert_eq!(Network::new(text), None, "{text}");
        }
    }
}
