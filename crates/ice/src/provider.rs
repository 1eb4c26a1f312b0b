//! Those who are asked for relays, and what they answer.
//!
//! Two shapes are known: that of Cloudflare (`…/credentials/generate-ice-servers`: JSON in, `iceServers` out) and that of
//! Twilio (`…/Tokens.json`: a form in, `ice_servers` and `ttl` out). What comes back may have either, whatever was sent.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cuttlebone_proto::IceServer;
use serde::Deserialize;

use crate::errand::BadAnswer;
use crate::settings::{MOST_BYTES, MOST_IN_ALL, MOST_URLS, Scope, bytes_of_all, is_relay, is_url};

/// Servers in one answer.
const MOST_SERVERS: usize = 16;
/// Seconds that a credential is good for at least. Less would have it asked for without an end.
const LEAST_TTL: u64 = 60;

/// One who is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Where: `https://…`.
    pub url: String,
    /// How it is asked for a time to live.
    pub body: RequestBody,
    /// The user of basic authentication; without one, the secret is a bearer token.
    pub username: Option<String>,
    /// The token or the password.
    pub secret: String,
    /// Who is told of its servers.
    pub scope: Scope,
}

/// How a provider is asked for a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    /// `{"ttl":3600}`, as Cloudflare has it.
    Json,
    /// `Ttl=3600`, as Twilio has it.
    Form,
}

impl ProviderSettings {
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> String {
        match &self.username {
            Some(username) => format!("Basic {}", STANDARD.encode(format!("{username}:{}", self.secret))),
            None => format!("Bearer {}", self.secret),
        }
    }
}

impl RequestBody {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }

    pub(crate) fn text(self, ttl: u64) -> String {
        match self {
            Self::Json => format!("{{\"ttl\":{ttl}}}"),
            Self::Form => format!("Ttl={ttl}"),
        }
    }
}

impl fmt::Debug for ProviderSettings {
    /// Never shows the secret, nor the URL, which may have a key in its path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSettings")
            .field("body", &self.body)
            .field("is_basic", &self.username.is_some())
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// What a provider answered: its servers, and for how many seconds their credentials are good, if it said.
pub(crate) fn parse(body: &[u8]) -> Result<(Vec<IceServer>, Option<u64>), BadAnswer> {
    let answer: RawAnswer = serde_json::from_slice(body).map_err(|_| BadAnswer::Shape)?;
    let servers = answer.ice_servers.into_vec();
    if servers.len() > MOST_SERVERS {
        return Err(BadAnswer::TooMuch);
    }
    let servers = servers.into_iter().map(RawServer::checked).collect::<Result<Vec<_>, _>>()?;
    if bytes_of_all(&servers) > MOST_IN_ALL {
        return Err(BadAnswer::TooMuch);
    }
    if !servers.iter().any(|server| server.credential.is_some()) {
        return Err(BadAnswer::NoRelay);
    }
    let ttl = answer.ttl.and_then(RawTtl::seconds);
    if ttl.is_some_and(|ttl| ttl < LEAST_TTL) {
        return Err(BadAnswer::Short);
    }
    Ok((servers, ttl))
}

#[derive(Deserialize)]
struct RawAnswer {
    #[serde(alias = "iceServers")]
    ice_servers: OneOrMany<RawServer>,
    #[serde(default)]
    ttl: Option<RawTtl>,
}

#[derive(Deserialize)]
struct RawServer {
    #[serde(default)]
    urls: Option<OneOrMany<String>>,
    /// The name that it had once.
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    credential: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

/// Twilio writes it as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawTtl {
    Number(u64),
    Text(String),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(many) => many,
            Self::One(one) => vec![one],
        }
    }
}

impl RawTtl {
    fn seconds(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl RawServer {
    /// A relay has a user name and a credential; anything else has neither, whatever was answered.
    fn checked(self) -> Result<IceServer, BadAnswer> {
        let urls = self.urls.map(OneOrMany::into_vec).or_else(|| self.url.map(|url| vec![url])).unwrap_or_default();
        if urls.is_empty() || !urls.iter().all(|url| is_url(url)) {
            return Err(BadAnswer::Url);
        }
        let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > MOST_BYTES);
        if urls.len() > MOST_URLS || is_long(&self.username) || is_long(&self.credential) {
            return Err(BadAnswer::TooMuch);
        }
        if !urls.iter().any(|url| is_relay(url)) {
            return Ok(IceServer { urls, username: None, credential: None });
        }
        match (self.username, self.credential) {
            (Some(username), Some(credential)) => {
                Ok(IceServer { urls, username: Some(username), credential: Some(credential) })
            }
            _ => Err(BadAnswer::NoCredential),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOUDFLARE: &str = r#"{"iceServers":[
        {"urls":["stun:stun.cloudflare.com:3478"]},
        {"urls":["turn:turn.cloudflare.com:3478?transport=udp","turns:turn.cloudflare.com:443?transport=tcp"],
         "username":"bc91b63e2b5d759f8eb9f3b58062439e0a0e15893d76317d833265ad08d6631099ce7c7087caabb31ad3e1c386424e3e",
         "credential":"ebd71f1d3edbc2b0edae3cd5a6d82284aeb5c3b8fdaa9b8e3bf9cec683e0d45fe9f5b44e5145db3300f06c250a15b4a0"}]}"#;

    const TWILIO: &str = r#"{"username":"dc2d2894d5a9023620c467b0e71cfa6a35457e6679785ed6ae9856fe5bdfa269",
        "ice_servers":[{"url":"stun:global.stun.twilio.com:3478","urls":"stun:global.stun.twilio.com:3478"},
        {"username":"dc2d2894","credential":"tE2DajzSJwnsSbc123","url":"turn:global.turn.twilio.com:3478?transport=udp",
         "urls":"turn:global.turn.twilio.com:3478?transport=udp"}],
        "date_updated":"Fri, 01 May 2020 01:42:57 +0000","account_sid":"ACxxx","ttl":"3600","password":"tE2DajzSJwnsSbc123"}"#;

    #[test]
    fn both_shapes_are_read() {
        let (servers, ttl) = parse(CLOUDFLARE.as_bytes()).expect("good");
        assert_eq!((servers.len(), servers[1].urls.len(), ttl), (2, 2, None));
        assert!(servers[0].credential.is_none() && servers[1].credential.is_some());
        let (servers, ttl) = parse(TWILIO.as_bytes()).expect("good");
        assert_eq!((servers.len(), ttl), (2, Some(3600)));
        assert_eq!(servers[1].urls, ["turn:global.turn.twilio.com:3478?transport=udp"]);
        let single = r#"{"iceServers":{"urls":"turn:t","username":"u","credential":"c"}}"#;
        assert_eq!(parse(single.as_bytes()).expect("the older shape").0.len(), 1);
    }

    #[test]
    fn credential_of_a_server_that_is_no_relay_is_left_out() {
        let text = r#"{"iceServers":[{"urls":"stun:s","username":"u","credential":"c"},{"urls":"turn:t","username":"u","credential":"c"}]}"#;
        let (servers, _) = parse(text.as_bytes()).expect("good");
        assert_eq!((&servers[0].username, &servers[0].credential), (&None, &None));
    }

    #[test]
    fn what_no_peer_may_be_told_is_refused() {
        let server = r#"{"urls":"turn:t","username":"u","credential":"c"}"#;
        let many = format!(r#"{{"iceServers":[{}]}}"#, vec![server; MOST_SERVERS + 1].join(","));
        let long =
            format!(r#"{{"iceServers":[{{"urls":"turn:t","username":"u","credential":"{}"}}]}}"#, "c".repeat(513));
        let urls = vec![format!("\"turn:{}\"", "h".repeat(500)); MOST_URLS].join(",");
        let full = format!(r#"{{"urls":[{urls}],"username":"u","credential":"c"}}"#);
        let huge = format!(r#"{{"iceServers":[{}]}}"#, vec![full; MOST_SERVERS].join(","));
        for (text, expected) in [
            ("", BadAnswer::Shape),
            ("[]", BadAnswer::Shape),
            ("{}", BadAnswer::Shape),
            (r#"{"iceServers":7}"#, BadAnswer::Shape),
            (r#"{"iceServers":[]}"#, BadAnswer::NoRelay),
            (r#"{"iceServers":[{"urls":"stun:s"}]}"#, BadAnswer::NoRelay),
            (r#"{"iceServers":[{"urls":"turn:t"}]}"#, BadAnswer::NoCredential),
            (r#"{"iceServers":[{"username":"u","credential":"c"}]}"#, BadAnswer::Url),
            (r#"{"iceServers":[{"urls":"http://t","username":"u","credential":"c"}]}"#, BadAnswer::Url),
            (r#"{"iceServers":[{"urls":["turn:a\nb"],"username":"u","credential":"c"}]}"#, BadAnswer::Url),
            (&many, BadAnswer::TooMuch),
            (&long, BadAnswer::TooMuch),
            (&huge, BadAnswer::TooMuch),
            (&format!(r#"{{"iceServers":[{server}],"ttl":59}}"#), BadAnswer::Short),
        ] {
            assert_eq!(parse(text.as_bytes()).expect_err(text), expected, "{text}");
        }
        assert_eq!(parse(&[b'['; 100_000]).expect_err("deep"), BadAnswer::Shape);
    }

    #[test]
    fn secret_is_a_bearer_token_or_a_password_and_not_shown() {
        let mut provider = ProviderSettings {
            url: "https://p.example/CANARY-key".into(),
            body: RequestBody::Form,
            username: Some("Aladdin".into()),
            secret: "open sesame".into(),
            scope: Scope::default(),
        };
        assert_eq!(provider.authorization(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        provider.username = None;
        provider.secret = "CANARY".into();
        assert_eq!(provider.authorization(), "Bearer CANARY");
        assert!(!format!("{provider:?}").contains("CANARY"));
        assert_eq!((RequestBody::Json.text(60), RequestBody::Form.text(60)), ("{\"ttl\":60}".into(), "Ttl=60".into()));
    }
}
