//! Which of a viewer's ICE candidates are used.
//!
//! The device has UDP sockets only and resolves no names. A browser that hides its addresses behind `.local` names is
//! reached all the same: its first check arrives from an address, which then becomes a candidate of its own.

use str0m::Candidate;
use str0m::net::Protocol;

/// More candidates of one viewer are not used, so that a viewer can't make the device knock at many doors.
pub(crate) const CANDIDATES: usize = 32;

const SDP_PREFIX: &str = "a=candidate:";

/// The candidate in `text` (`candidate:…`), if the device can use it.
pub(crate) fn usable(text: &str) -> Option<Candidate> {
    let candidate = Candidate::from_sdp_string(text.trim_end()).ok()?;
    let address = candidate.addr().ip();
    let reachable = !address.is_unspecified() && !address.is_multicast();
    (candidate.proto() == Protocol::Udp && reachable).then_some(candidate)
}

/// `sdp` with only so many candidates, and only usable ones; and their number.
pub(crate) fn keep_usable(sdp: &str, limit: usize) -> (String, usize) {
    let mut kept = 0;
    let keep = |line: &&str| {
        if !line.starts_with(SDP_PREFIX) {
            return true;
        }
        let keep = kept < limit && usable(&line["a=".len()..]).is_some();
        kept += usize::from(keep);
        keep
    };
    let text = sdp.split_inclusive('\n').filter(keep).collect();
    (text, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_udp_addresses_only() {
        let table = [
            ("candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host generation 0 ufrag ab network-id 1", true),
            ("candidate:1 1 UDP 2122260223 2001:db8::1 50000 typ host\r\n", true),
            ("candidate:1 1 udp 41885439 192.0.2.9 61000 typ relay raddr 198.51.100.1 rport 4000", true),
            ("candidate:1 1 udp 2122260223 0f3e7e5a-53c1-4ed5-93e5-8e1d5d7f1c11.local 50000 typ host", false),
            ("candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active", false),
            ("candidate:1 1 udp 2122260223 0.0.0.0 50000 typ host", false),
            ("candidate:1 1 udp 2122260223 224.0.0.251 5353 typ host", false),
            ("candidate:", false),
            ("", false),
        ];
        for (text, expected) in table {
            assert_eq!(usable(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn a_description_keeps_its_other_lines() {
        let sdp = "v=0\r\na=candidate:1 1 udp 1 x.local 1 typ host\r\na=mid:0\r\n\
                   a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\na=candidate:1 1 udp 1 192.0.2.2 1 typ host\r\n";
        let expected = "v=0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";
        assert_eq!(keep_usable(sdp, 1), (expected.to_owned(), 1));
    }
}
