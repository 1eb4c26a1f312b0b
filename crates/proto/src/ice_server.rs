//! The entries of `ice_servers`.

use serde::{Deserialize, Serialize};

/// One W3C `RTCIceServer`. `urls` is always written as an array: a device can crash on a bare string.
///
/// Source: protocol.md 1 and 3.4.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` URLs; at least one.
    pub urls: Vec<String>,
    /// The user name a TURN server asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The secret that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    /// Never shows the credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .field("credential", &self.credential.as_ref().map(|_| "***"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_credential() {
        let server = IceServer {
            urls: vec!["turn:turn.example:3478".into()],
            username: Some("u".into()),
            credential: Some("CANARY".into()),
        };
        assert!(!format!("{server:?}").contains("CANARY"));
    }
}
