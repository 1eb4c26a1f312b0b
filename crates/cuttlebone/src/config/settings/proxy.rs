//! `[proxy]`: who is believed about others.

use cuttlebone_server::{Network, ProxySettings};

use super::super::raw::RawProxy;
use super::check::Check;

/// Whoever comes by the unix socket.
const UNIX: &str = "unix";

pub(super) fn proxy(raw: &RawProxy, check: &mut Check<'_>) -> ProxySettings {
    let unix = raw.trusted.iter().any(|text| text == UNIX);
    let mut network = |(at, text): (usize, &String)| {
        if text == UNIX {
            return None;
        }
        let network = Network::new(text);
        if network.is_none() {
            let text = format!(
                "expected an address or a network, such as 127.0.0.1, 10.0.0.0/8 or 2001:db8::/32, that is not everybody, or \"unix\", not {text:?}"
            );
            check.fault(&format!("proxy.trusted[{at}]"), text);
        }
        network
    };
    let trusted = raw.trusted.iter().enumerate().filter_map(&mut network).collect();
    let header = one_of("proxy.header", &raw.header, "x-forwarded-for", check);
    let protocol = one_of("proxy.protocol", &raw.protocol, "v1-v2", check);
    ProxySettings { trusted, unix, header, protocol }
}

/// True for the word, false for "off".
fn one_of(key: &str, value: &str, word: &str, check: &mut Check<'_>) -> bool {
    if value != word && value != "off" {
        check.fault(key, format!("expected \"off\" or \"{word}\", not {value:?}"));
    }
    value == word
}
