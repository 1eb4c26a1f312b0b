//! Which addresses belong to nobody on the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    /// `localhost`, or a name below it.
    Localhost,
    /// Any other.
    Name,
}

impl Host {
    pub(super) fn of(text: &str) -> Self {
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) if name == "localhost" || name.ends_with(".localhost") => Self::Localhost,
            Err(_) => Self::Name,
        }
    }

    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.to_canonical().is_loopback(),
            Self::Localhost => true,
            Self::Name => false,
        }
    }

    pub(super) fn is_private(&self) -> bool {
        match self {
            Self::Address(address) => is_private(*address),
            Self::Localhost => true,
            Self::Name => false,
        }
    }
}

/// Whether an address is one of this machine, of a network that is nobody's or somebody's own, or of no single machine.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    a == 0
        || a >= 224
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || address.is_documentation()
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // What reaches an IPv4 address, by a translator or a tunnel, is as private as that.
    let embedded = match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] | [0, 0, 0, 0, 0 | 0xffff, 0, high, low] => {
            Some(v4(high, low))
        }
        _ => None,
    };
    embedded.is_some_and(is_private_v4)
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || segments[0] & 0xffc0 == 0xfec0
        || (segments[0] == 0x64 && segments[1] == 0xff9b && segments[2] == 1)
        || (segments[0] == 0x2001 && segments[1] == 0xdb8)
        // Teredo: the IPv4 address is in disguise, and nobody serves by it.
        || (segments[0] == 0x2001 && segments[1] == 0)
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_of_closed_networks_are_private() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:a00:1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:f5ff:fffe",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(is_private(text.parse().expect("an address")), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "2606:4700::1",
            "64:ff9b::101:101",
            "::ffff:0:1.1.1.1",
            "2001:1::1",
            "2001:4860:4860::8888",
        ] {
            assert!(!is_private(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn hosts_are_addresses_the_name_of_this_machine_or_others() {
        assert!(Host::of("127.0.0.1").is_loopback() && Host::of("[::1]").is_loopback());
        assert!(Host::of("[::ffff:127.0.0.1]").is_loopback());
        assert!(Host::of("LocalHost.").is_loopback() && Host::of("a.localhost").is_private());
        assert_eq!(Host::of("localhost.example"), Host::Name);
        assert_eq!(Host::of("xlocalhost"), Host::Name);
        assert!(Host::of("10.0.0.1").is_private() && !Host::of("10.0.0.1").is_loopback());
    }
}
