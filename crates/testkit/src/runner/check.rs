//! Comparisons, without a world.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::transcript::Bindings;

/// An error of a server: these two keys, each once, and no other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorMessage {
    pub(super) error: String,
    #[serde(rename = "cuttlebone_code")]
    pub(super) code: Option<String>,
}

impl ErrorMessage {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_object = text.trim_start().starts_with('{');
        serde_json::from_str(text).ok().filter(|_| is_object)
    }
}

/// Whether `text` is the same JSON value as the template. Payloads compare by value too.
pub(super) fn same_meaning(bindings: &mut Bindings, template: &str, count: u32, text: &str) -> bool {
    let Ok(Value::Object(mut got)) = serde_json::from_str(text) else { return false };
    // In the order of the protocol, as the templates are written; ice_servers may hold anything.
    let mut ordered = Vec::new();
    for key in ["message_type", "ice_servers", "device_info", "client_id", "payload"] {
        ordered.extend(got.remove(key).map(|value| format!("\"{key}\":{value}")));
    }
    let rewritten = format!("{{{}}}", ordered.join(","));
    if bindings.compare(template, count, &rewritten).is_ok() {
        return true;
    }
    match serde_json::from_str::<Value>(&bindings.expand(template, count)) {
        Ok(wanted) => serde_json::from_str::<Value>(&rewritten).is_ok_and(|got| got == wanted),
        Err(_) => false,
    }
}

pub(super) fn same(values: &[String]) -> Result<(), String> {
    match values.windows(2).all(|pair| pair[0] == pair[1]) {
        true => Ok(()),
        false => Err(format!("these are not the same: {}", values.join(", "))),
    }
}

pub(super) fn distinct(values: &[String]) -> Result<(), String> {
    match values.iter().collect::<BTreeSet<_>>().len() == values.len() {
        true => Ok(()),
        false => Err(format!("these are not distinct: {}", values.join(", "))),
    }
}

/// Numbers drawn at random from 2^31 lie nowhere near each other. The chance that eight of them do by luck is below one
/// in a hundred million.
pub(super) fn scattered(values: &[String]) -> Result<(), String> {
    let mut numbers: Vec<u64> = values.iter().filter_map(|value| value.parse().ok()).collect();
    let in_order = numbers.is_sorted();
    numbers.sort_unstable();
    let span = numbers.last().zip(numbers.first()).map_or(0, |(last, first)| last - first);
    match span > 100_000_000 && !in_order {
        true => Ok(()),
        false => Err(format!("these do not look random: {}", values.join(", "))),
    }
}

/// `bytes` in this many parts of nearly the same size; some are empty if there are too few bytes.
pub(super) fn cut(bytes: &[u8], parts: usize) -> Vec<Vec<u8>> {
    let at = |part: usize| bytes.len() * part / parts;
    (0..parts).map(|part| bytes[at(part)..at(part + 1)].to_vec()).collect()
}

/// The text, without its middle if it is long.
pub(super) fn shorten(text: &str) -> String {
    const ENDS: usize = 100;
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 3 * ENDS {
        return text.to_owned();
    }
    let start: String = chars[..ENDS].iter().collect();
    let end: String = chars[chars.len() - ENDS..].iter().collect();
    format!("{start}…({} characters)…{end}", chars.len() - 2 * ENDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[u32]) -> Vec<String> {
        values.iter().map(u32::to_string).collect()
    }

    #[test]
    fn an_error_has_these_keys_and_no_other() {
        assert!(ErrorMessage::parse(r#"{"error":"x"}"#).is_some());
        assert!(ErrorMessage::parse(r#"{"error":"x","cuttlebone_code":"y"}"#).is_some());
        for bad in
            [r#"{"error":"x","message_type":"config"}"#, r#"{"error":1}"#, r#"{"error":"x","error":"y"}"#, r#"["x"]"#]
        {
            assert!(ErrorMessage::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_row_of_numbers_is_not_random() {
        assert!(scattered(&numbers(&[1, 2, 3, 4])).is_err());
        assert!(scattered(&numbers(&[4, 2, 3, 1])).is_err());
        assert!(scattered(&numbers(&[1, 1_000_000_000, 2_000_000_000])).is_err());
        assert!(scattered(&numbers(&[2_000_000_000, 1, 1_000_000_000])).is_ok());
    }

    #[test]
    fn parts_are_as_many_as_asked_for() {
        assert_eq!(cut(b"abcde", 2), [b"ab".to_vec(), b"cde".to_vec()]);
        assert_eq!(cut(b"a", 3).concat(), b"a");
        assert_eq!(cut(b"a", 3).len(), 3);
    }

    #[test]
    fn meaning_ignores_order_and_white_space() {
        let mut bindings = Bindings::new();
        let template = r#"{"message_type":"client_msg","client_id":$C1,"payload":{"a":1,"b":2}}"#;
        let foreign = "{\n \"client_id\" : 7, \"payload\" : {\"b\":2, \"a\":1}, \"message_type\":\"client_msg\"}";
        assert!(same_meaning(&mut bindings, template, 0, foreign));
        assert_eq!(bindings.client("$C1"), Some("7"));
        assert!(!same_meaning(&mut bindings, template, 0, &foreign.replace('2', "3")));
    }
}
