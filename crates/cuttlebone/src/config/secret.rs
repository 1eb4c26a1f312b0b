//! Texts that are never shown, or not whole.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize, Serializer};

/// What a secret is printed as.
const HIDDEN: &str = "***";

/// A secret as the configuration has it. Neither `Debug` nor `print-config` shows it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, for the one who needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // That there is none is no secret.
        serializer.serialize_str(if self.0.is_empty() { "" } else { HIDDEN })
    }
}

/// Where somebody is asked. Before its host or behind its path a key may stand: of one that has room for that, nothing is shown but
/// the scheme.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Address(String);

impl Address {
    fn shown(&self) -> Cow<'_, str> {
        if !self.0.contains(['@', '?', '#']) {
            return Cow::Borrowed(&self.0);
        }
        let scheme = ["https://", "http://"].into_iter().find(|scheme| self.0.starts_with(scheme));
        Cow::Owned(format!("{}{HIDDEN}", scheme.unwrap_or_default()))
    }
}

impl Deref for Address {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_an_address_is_not_shown() {
        for (text, shown) in [
            ("", ""),
            ("https://hook.example/a:b", "https://hook.example/a:b"),
            ("https://me:CANARY@hook.example/a", "https://***"),
            ("https://me:CAN/ARY?CANARY@hook.example", "https://***"),
            ("http://hook.example/a?key=CANARY", "http://***"),
            ("https://hook.example/a#CANARY", "https://***"),
            ("CANARY@hook.example", "***"),
        ] {
            let address = Address(text.to_owned());
            assert_eq!(format!("{address:?}"), format!("{shown:?}"));
            assert_eq!(toml::Value::try_from(&address).expect("a value").as_str(), Some(shown));
            assert_eq!(&*address, text);
        }
    }

    #[test]
    fn a_secret_is_neither_formatted_nor_serialized() {
        let secret = Secret("CANARY".to_owned());
        let shown = format!("{secret:?} {}", toml::Value::try_from(&secret).expect("a value"));
        assert!(!shown.contains("CANARY") && shown.contains(HIDDEN), "{shown}");
        assert_eq!(secret.expose(), "CANARY");
    }
}
