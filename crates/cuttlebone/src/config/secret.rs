//! A text that is never shown.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_neither_formatted_nor_serialized() {
        let secret = Secret("CANARY".to_owned());
        let shown = format!("{secret:?} {}", toml::Value::try_from(&secret).expect("a value"));
        assert!(!shown.contains("CANARY") && shown.contains(HIDDEN), "{shown}");
        assert_eq!(secret.expose(), "CANARY");
    }
}
