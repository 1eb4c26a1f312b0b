//! Texts with placeholders, and what the placeholders stand for.
//!
//! | placeholder | stands for |
//! |---|---|
//! | `$D`, `$D1`, … | a device id that no other run uses |
//! | `$C1` to `$C9` | a client id: the first match sets it, later ones must be equal |
//! | `$N` | how many of a repeated step were done before |
//! | `$FILL` | the filling of the message that was last made to a size |
//! | `$ICE` | an array of `RTCIceServer` whose `urls` are arrays of strings |
//! | `$ANY` | anything, where the protocol leaves freedom |

use std::collections::BTreeMap;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use cuttlebone_proto::IceServer;

/// What placeholders stand for in one run.
#[derive(Debug)]
pub(crate) struct Bindings {
    device: String,
    clients: BTreeMap<String, String>,
    fill: String,
}

/// Why a text does not match.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("it is another text")]
    Differs,
    #[error("{0} is not a client id")]
    NotAClientId(String),
    #[error("ice_servers is not an array of RTCIceServer")]
    NotIceServers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Literal(&'a str),
    Device(&'a str),
    Client(&'a str),
    Count,
    Fill,
    Ice,
    Any,
}

impl Bindings {
    /// Fresh ones, whose device ids no other run uses.
    pub(crate) fn new() -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let device = format!("conformance-{}-{run}", process::id());
        Self { device, clients: BTreeMap::new(), fill: String::new() }
    }

    /// Makes `$FILL` from `unit`, so that `template` gets as near to `size` bytes as it can without passing it.
    pub(crate) fn fill_to(&mut self, template: &str, unit: &str, size: usize) {
        self.fill.clear();
        let room = size.saturating_sub(self.expand(template, 0).len());
        self.fill = unit.repeat(room / unit.len().max(1));
    }

    /// The text with everything in its place. What is not known stays as it is.
    pub(crate) fn expand(&self, template: &str, count: u32) -> String {
        let mut text = String::with_capacity(template.len());
        for token in tokens(template) {
            match self.known(token, count) {
                Ok(known) => text.push_str(&known),
                Err(name) => text.push_str(name),
            }
        }
        text
    }

    /// Compares `text` with the template, and keeps the client ids it names for the first time.
    pub(crate) fn compare(&mut self, template: &str, count: u32, text: &str) -> Result<(), Mismatch> {
        let mut found = Vec::new();
        self.compare_from(&tokens(template).collect::<Vec<_>>(), count, text, &mut found)?;
        self.clients.extend(found);
        Ok(())
    }

    /// The value of `$C1`, if it is known.
    pub(crate) fn client(&self, name: &str) -> Option<&str> {
        self.clients.get(name.trim_start_matches('$')).map(String::as_str)
    }

    fn known<'a>(&self, token: Token<'a>, count: u32) -> Result<String, &'a str> {
        match token {
            Token::Literal(text) => Ok(text.to_owned()),
            Token::Device("") => Ok(self.device.clone()),
            Token::Device(number) => Ok(format!("{}-{number}", self.device)),
            Token::Client(name) => self.clients.get(name).cloned().ok_or(name),
            Token::Count => Ok(count.to_string()),
            Token::Fill => Ok(self.fill.clone()),
            Token::Ice => Err("$ICE"),
            Token::Any => Err("$ANY"),
        }
    }

    fn compare_from(
        &self,
        tokens: &[Token<'_>],
        count: u32,
        text: &str,
        found: &mut Vec<(String, String)>,
    ) -> Result<(), Mismatch> {
        let Some((&first, rest)) = tokens.split_first() else {
            return if text.is_empty() { Ok(()) } else { Err(Mismatch::Differs) };
        };
        let after = match (first, self.known(first, count)) {
            (_, Ok(known)) => text.strip_prefix(known.as_str()).ok_or(Mismatch::Differs)?,
            (Token::Client(name), _) => {
                let end = text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len());
                let (digits, after) = text.split_at(end);
                if !is_client_id(digits) {
                    return Err(Mismatch::NotAClientId(digits.to_owned()));
                }
                found.push((name.to_owned(), digits.to_owned()));
                after
            }
            (Token::Ice, _) => after_ice_servers(text)?,
            (_, Err(_)) => {
                let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
                let fits = |end: &usize| self.compare_from(rest, count, &text[*end..], &mut Vec::new()).is_ok();
                let end = ends.find(fits).ok_or(Mismatch::Differs)?;
                &text[end..]
            }
        };
        self.compare_from(rest, count, after, found)
    }
}

fn is_client_id(digits: &str) -> bool {
    let canonical = !digits.starts_with('0');
    canonical && digits.parse().ok().and_then(cuttlebone_proto::ClientId::new).is_some()
}

fn after_ice_servers(text: &str) -> Result<&str, Mismatch> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Vec<IceServer>>();
    match values.next() {
        Some(Ok(_)) => Ok(&text[values.byte_offset()..]),
        _ => Err(Mismatch::NotIceServers),
    }
}

fn tokens(template: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (token, after) = placeholder(rest).unwrap_or_else(|| {
            let end = rest.match_indices('$').map(|(at, _)| at).find(|&at| placeholder(&rest[at..]).is_some());
            let (literal, after) = rest.split_at(end.unwrap_or(rest.len()));
            (Token::Literal(literal), after)
        });
        rest = after;
        Some(token)
    })
}

fn placeholder(text: &str) -> Option<(Token<'_>, &str)> {
    for (name, token) in [("$FILL", Token::Fill), ("$ICE", Token::Ice), ("$ANY", Token::Any), ("$N", Token::Count)] {
        if let Some(after) = text.strip_prefix(name) {
            return Some((token, after));
        }
    }
    let name = text.strip_prefix('$')?;
    if let Some(digits) = name.strip_prefix('D') {
        let end = digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len());
        let (number, after) = digits.split_at(end);
        return Some((Token::Device(number), after));
    }
    // One digit, so that more of a number can follow it.
    let is_client = matches!(name.as_bytes(), [b'C', b'1'..=b'9', ..]);
    is_client.then(|| name.split_at(2)).map(|(name, after)| (Token::Client(name), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_set_once_and_then_compared() {
        let mut bindings = Bindings::new();
        assert_eq!(bindings.compare("{$C1}", 0, "{42}"), Ok(()));
        assert_eq!(bindings.client("$C1"), Some("42"));
        assert_eq!(bindings.compare("{$C1}", 0, "{42}"), Ok(()));
        assert_eq!(bindings.compare("{$C1}", 0, "{421}"), Err(Mismatch::Differs));
        assert_eq!(bindings.expand("$C1.0 $C10e-1 $C2", 0), "42.0 420e-1 C2");
    }

    #[test]
    fn a_client_id_is_a_plain_number_of_31_bits() {
        for bad in ["0", "07", "2147483648", "", "-1"] {
            let outcome = Bindings::new().compare("{$C1}", 0, &format!("{{{bad}}}"));
            assert!(matches!(outcome, Err(Mismatch::NotAClientId(_))), "{bad}");
        }
    }

    #[test]
    fn a_mismatch_sets_nothing() {
        let mut bindings = Bindings::new();
        assert_eq!(bindings.compare("$C1 x", 0, "7 y"), Err(Mismatch::Differs));
        assert_eq!(bindings.client("$C1"), None);
    }

    #[test]
    fn ice_servers_have_arrays_of_urls() {
        let mut bindings = Bindings::new();
        assert_eq!(bindings.compare("<$ICE>", 0, r#"<[]>"#), Ok(()));
        assert_eq!(bindings.compare("<$ICE>", 0, r#"<[{"urls":["stun:s"],"username":"u"}]>"#), Ok(()));
        assert_eq!(bindings.compare("<$ICE>", 0, r#"<[{"urls":"stun:s"}]>"#), Err(Mismatch::NotIceServers));
        assert_eq!(bindings.compare("<$ICE>", 0, "<{}>"), Err(Mismatch::NotIceServers));
    }

    #[test]
    fn anything_ends_where_the_rest_fits() {
        let mut bindings = Bindings::new();
        assert_eq!(bindings.compare("a$ANYb", 0, "a--b--b"), Ok(()));
        assert_eq!(bindings.compare("$ANY", 0, ""), Ok(()));
        assert_eq!(bindings.compare("a$ANYb", 0, "a--"), Err(Mismatch::Differs));
    }

    #[test]
    fn filling_reaches_the_size() {
        let mut bindings = Bindings::new();
        bindings.fill_to("<$FILL>", "x", 10);
        assert_eq!(bindings.expand("<$FILL>", 0), "<xxxxxxxx>");
        bindings.fill_to("<$FILL>", "€", 10);
        assert_eq!(bindings.expand("<$FILL>", 0), "<€€>");
    }

    #[test]
    fn a_dollar_alone_is_a_dollar() {
        let bindings = Bindings::new();
        assert_eq!(bindings.expand("$ $x $C $N$N", 3), "$ $x $C 33");
        assert_ne!(bindings.expand("$D", 0), Bindings::new().expand("$D", 0));
    }
}
