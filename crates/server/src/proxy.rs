//! Proxies in front of this server: which are believed, and what they say of whom they ask for.
//!
//! Invariants: 1. what a peer that is not listed says of others is not looked at; 2. of `X-Forwarded-For` only what listed ones
//! wrote counts: from its end up to the first address that is not listed. Whoever is behind them can write what it likes before.

mod network;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use crate::origin::Scheme;
pub use network::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Which proxies are believed, and what: `proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySettings {
    /// Where they are: `proxy.trusted`.
    pub trusted: Vec<Network>,
    /// Whether whoever comes by the unix socket is one: `"unix"` in `proxy.trusted`.
    pub unix: bool,
    /// Whether they say in `X-Forwarded-For` and `X-Forwarded-Proto` whom they ask for: `proxy.header`.
    pub header: bool,
    /// Whether each of their connections begins with a header of the PROXY protocol: `proxy.protocol`.
    pub protocol: bool,
}

impl Default for ProxySettings {
    /// None is believed.
    fn default() -> Self {
        Self { trusted: Vec::new(), unix: false, header: true, protocol: false }
    }
}

impl ProxySettings {
    /// Whether there is any.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.trusted.is_empty() || self.unix
    }

    /// Whether what this peer says of others is believed.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whom a request is from that a listed peer has sent; that peer itself, if it does not say.
    pub(crate) fn asker(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.header {
            return peer;
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut nearest = peer;
        for hop in hops {
            // What can't be read was written by the last that could: that one is all that is known.
            let Some(address) = address(hop.trim_ascii()) else { return nearest };
            nearest = address;
            if !self.trusts(address) {
                break;
            }
        }
        nearest
    }

    /// How a request came to the first of the proxies, if the listed peer that has sent it says so, once and clearly.
    pub(crate) fn scheme(&self, headers: &HeaderMap) -> Option<Scheme> {
        let mut values = headers.get_all(X_FORWARDED_PROTO).iter();
        let (Some(only), None) = (values.next().filter(|_| self.header), values.next()) else { return None };
        match only.as_bytes() {
            value if value.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
            value if value.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
            _ => None,
        }
    }
}

/// One entry: an address, that of IPv6 in brackets or not, with a port or not.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (IpAddr::V6(host.parse().ok()?), port.strip_prefix(':').or(port.is_empty().then_some("0"))?)
        }
        None => {
            let (host, port) = text.split_once(':')?;
            (IpAddr::V4(host.parse().ok()?), port)
        }
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_port.then(|| host.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn settings(trusted: &[&str]) -> ProxySettings {
        let trusted = trusted.iter().map(|text| Network::new(text).expect("a network")).collect();
        ProxySettings { trusted, unix: false, header: true, protocol: false }
    }

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (name.clone(), HeaderValue::from_bytes(text.as_bytes()).expect("a value"));
        values.iter().map(value).collect()
    }

    fn asker(trusted: &[&str], values: &[&str]) -> String {
        let peer = IpAddr::from([127, 0, 0, 1]);
        settings(trusted).asker(peer, &headers(&X_FORWARDED_FOR, values)).to_string()
    }

    #[test]
    fn last_address_that_no_listed_proxy_has_is_the_one_that_asks() {
        for (values, expected) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            // The first is what the client itself wrote.
            (&["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
            (&["203.0.113.9", "192.0.2.1"], "192.0.2.1"),
            (&["127.0.0.1,10.0.0.2, 192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, 10.1.2.3,10.0.0.2"], "192.0.2.1"),
            (&["203.0.113.9,192.0.2.1", "10.1.2.3", "10.0.0.2"], "192.0.2.1"),
            (&["2001:db8::7, 10.0.0.2"], "2001:db8::7"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
            // All of them are proxies: it is the first that asks.
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            assert_eq!(asker(&["127.0.0.1", "10.0.0.0/8"], values), expected, "{values:?}");
        }
    }

    #[test]
    fn what_can_not_be_read_leaves_the_last_that_could() {
        for garbage in
            ["unknown", "_hidden", "", "1.2.3", "1.2.3.4.5", "localhost", "for=192.0.2.1", "\"192.0.2.1\"", "\u{e9}"]
        {
            assert_eq!(asker(&["127.0.0.1"], &[garbage]), "127.0.0.1", "{garbage:?}");
            let before = format!("192.0.2.1, {garbage}, 10.0.0.2");
            assert_eq!(asker(&["127.0.0.1", "10.0.0.2"], &[&before]), "10.0.0.2", "{garbage:?}");
            // What stands before the address of the client does not matter at all.
            let before = format!("{garbage}, 192.0.2.1");
            assert_eq!(asker(&["127.0.0.1"], &[&before]), "192.0.2.1", "{garbage:?}");
        }
        assert_eq!(asker(&["127.0.0.1"], &[]), "127.0.0.1");
    }

    #[test]
    fn entry_may_have_a_port_and_brackets() {
        for (entry, expected) in [
            ("192.0.2.1:443", "192.0.2.1"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
        ] {
            assert_eq!(asker(&["127.0.0.1"], &[entry]), expected, "{entry}");
        }
        for bad in [
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:+1",
            "192.0.2.1:70000",
            "[2001:db8::7",
            "[2001:db8::7]1",
            "[192.0.2.1]",
            "[::1]:",
            "2001:db8::7:x",
        ] {
            assert_eq!(asker(&["127.0.0.1"], &[bad]), "127.0.0.1", "{bad}");
        }
    }

    #[test]
    fn header_that_is_switched_off_is_not_read() {
        let settings = ProxySettings { header: false, ..settings(&["127.0.0.1"]) };
        let peer = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(settings.asker(peer, &headers(&X_FORWARDED_FOR, &["192.0.2.1"])), peer);
        assert_eq!(settings.scheme(&headers(&X_FORWARDED_PROTO, &["https"])), None);
    }

    #[test]
    fn scheme_is_told_once_and_clearly_or_not_at_all() {
        let scheme = |values: &[&str]| settings(&["127.0.0.1"]).scheme(&headers(&X_FORWARDED_PROTO, values));
        assert_eq!((scheme(&["https"]), scheme(&["HTTP"])), (Some(Scheme::Https), Some(Scheme::Http)));
        for values in [&[][..], &[""], &["wss"], &["https,http"], &["https", "https"], &["https "]] {
            assert_eq!(scheme(values), None, "{values:?}");
        }
    }
}
