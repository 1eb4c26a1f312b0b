//! Where a peer is, by its address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// A region, and the networks whose addresses belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Its networks.
    pub networks: Vec<Network>,
}

/// Addresses that begin with the same bits: `192.0.2.0/24`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a network such as 192.0.2.0/24 or 2001:db8::/32, with no bit set after the first so many")]
pub struct InvalidNetwork;

impl Network {
    /// All of IPv4.
    pub const ALL: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), bits: 0 };

    /// Whether the address belongs to it. An IPv4 address that is written as IPv6 is one of IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                shifted(own.to_bits().into(), 32, self.bits) == shifted(other.to_bits().into(), 32, self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                shifted(own.to_bits(), 128, self.bits) == shifted(other.to_bits(), 128, self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The first `bits` of a number of `all` bits.
fn shifted(number: u128, all: u8, bits: u8) -> u128 {
    number.checked_shr(u32::from(all - bits)).unwrap_or_default()
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, bits) = text.split_once('/').ok_or(InvalidNetwork)?;
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = bits.parse().ok().filter(|_| is_number).ok_or(InvalidNetwork)?;
        let (number, all) = match address {
            IpAddr::V4(address) => (address.to_bits().into(), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let is_mapped = address != address.to_canonical();
        let has_no_rest = bits <= all && number.trailing_zeros() >= u32::from(all - bits);
        if has_no_rest && !is_mapped { Ok(Self { address, bits }) } else { Err(InvalidNetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The region of an address: that of the smallest network which it belongs to.
pub(crate) fn of(regions: &[Region], address: IpAddr) -> Option<&str> {
    let all = regions.iter().flat_map(|region| region.networks.iter().map(move |network| (network, &region.name)));
    let own = all.filter(|(network, _)| network.contains(address));
    own.max_by_key(|(network, _)| network.bits).map(|(_, name)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    #[test]
    fn networks_are_written_with_all_their_bits() {
        for good in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(network(good).to_string(), good);
        }
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "x/8",
            "::1/127",
            "::ffff:1.2.3.0/120",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(InvalidNetwork), "{bad}");
        }
    }

    #[test]
    fn address_is_in_the_network_of_its_first_bits() {
        let is_in = |net: &str, address: &str| network(net).contains(address.parse().expect("an address"));
        assert!(is_in("10.0.0.0/8", "10.255.0.1") && !is_in("10.0.0.0/8", "11.0.0.1"));
        assert!(is_in("0.0.0.0/0", "255.0.0.1") && !is_in("0.0.0.0/0", "::1"));
        assert!(is_in("10.0.0.0/8", "::ffff:10.1.2.3"), "the same address");
        assert!(is_in("2001:db8::/33", "2001:db8::1") && !is_in("2001:db8::/33", "2001:db8:8000::1"));
        assert!(is_in("::/0", "2001:db8::1") && is_in("::1/128", "::1"));
    }

    #[test]
    fn smallest_network_decides_whatever_the_order() {
        let region = |name: &str, nets: &[&str]| Region {
            name: name.into(),
            networks: nets.iter().map(|text| network(text)).collect(),
        };
        let mut regions = vec![region("world", &["0.0.0.0/0"]), region("lab", &["10.7.0.0/16", "10.0.0.0/8"])];
        regions.push(region("desk", &["10.7.0.9/32"]));
        for _ in 0..2 {
            let of = |address: &str| of(&regions, address.parse().expect("an address"));
            assert_eq!((of("192.0.2.1"), of("10.7.1.1"), of("10.7.0.9")), (Some("world"), Some("lab"), Some("desk")));
            assert_eq!(of("::1"), None);
            regions.reverse();
        }
    }
}
