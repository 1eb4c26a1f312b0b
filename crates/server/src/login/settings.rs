//! What signing in at a provider needs to know.

use std::fmt;
use std::time::Duration;

use cuttlebone_access::SessionKey;
use http::Uri;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::fetch::Fetcher;
use crate::settings::Fault;

/// The longest session: what a browser keeps is good for as long, and a role that the provider has taken back as well.
const LONGEST_SESSION: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// The longest time that somebody may take to sign in at the provider, and that what it says of itself is believed.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest text, in bytes.
const TEXT_BYTES: usize = 256;
/// The most scopes.
const MOST_SCOPES: usize = 32;

/// Signing in at a provider: `oidc`.
#[derive(Debug, Clone)]
pub struct LoginSettings {
    /// Who it is, byte for byte as its ID tokens have it: `oidc.issuer`.
    pub issuer: String,
    /// What it knows us by: `oidc.client_id`.
    pub client_id: String,
    /// What we prove that with, if it has given us something: `oidc.client_secret`.
    pub client_secret: Option<ClientSecret>,
    /// What is asked for beside `openid`: `oidc.scopes`.
    pub scopes: Vec<String>,
    /// The root of our pages as browsers see it: `oidc.public_url`.
    pub public_url: String,
    /// What people call the provider: `oidc.name`.
    pub name: String,
    /// How long a session lasts: `oidc.session_ms`.
    pub session: Duration,
    /// How long somebody may take to sign in at the provider: `oidc.attempt_ms`.
    pub attempt: Duration,
    /// How long what the provider says of itself is believed: `oidc.metadata_ms`.
    pub metadata: Duration,
    /// Codes that are exchanged at once: `oidc.exchanges`.
    pub exchanges: usize,
    /// What signs sessions: `oidc.session_key`. `None` makes one at start, which no other process has.
    pub key: Option<SessionKey>,
}

/// The secret that a provider gave us. Wiped when dropped.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// The secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl LoginSettings {
    /// The root of our pages. Ends with a slash. `None` if it is no such URL.
    pub(super) fn root(&self) -> Option<Url> {
        let mut url = Url::parse(&self.public_url).ok()?;
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Some(url).filter(is_plain)
    }

    /// All that is wrong. `tls`: whether the server itself speaks TLS.
    pub(crate) fn faults(&self, tls: bool, fetcher: Option<&Fetcher>) -> Vec<Fault> {
        let time = |time: Duration, longest: Duration| time >= Duration::from_secs(1) && time <= longest;
        let is_text = |text: &str| (1..=TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        let is_scope =
            |scope: &String| is_text(scope) && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        let scopes = self.scopes.len() <= MOST_SCOPES && self.scopes.iter().all(is_scope);
        let within = |longest: Duration| format!("must be 1000 to {}", longest.as_millis());
        let checks = [
            (
                "oidc.client_id",
                is_text(&self.client_id),
                "is needed: what the provider knows this server by".to_owned(),
            ),
            ("oidc.scopes", scopes, format!("at most {MOST_SCOPES} words")),
            ("oidc.name", is_text(&self.name), format!("needs 1 to {TEXT_BYTES} bytes")),
            ("oidc.session_ms", time(self.session, LONGEST_SESSION), within(LONGEST_SESSION)),
            ("oidc.attempt_ms", time(self.attempt, LONGEST), within(LONGEST)),
            ("oidc.metadata_ms", time(self.metadata, LONGEST), within(LONGEST)),
            ("oidc.exchanges", (1..=10_000).contains(&self.exchanges), "must be 1 to 10000".to_owned()),
        ];
        let faults = checks.into_iter().filter(|(_, good, _)| !good).map(|(key, _, text)| Fault { key, text });
        let issuer = self.issuer_fault(fetcher).map(|text| Fault { key: "oidc.issuer", text });
        let root = self.root_fault(tls).map(|text| Fault { key: "oidc.public_url", text: text.to_owned() });
        issuer.into_iter().chain(root).chain(faults).collect()
    }

    fn issuer_fault(&self, fetcher: Option<&Fetcher>) -> Option<String> {
        let url = Url::parse(&self.issuer).ok().filter(is_plain);
        let uri = url.as_ref().and_then(|url| url.as_str().parse::<Uri>().ok());
        match (uri, fetcher) {
            (None, _) => {
                Some("expected a URL as the provider writes it, such as https://login.example/realm".to_owned())
            }
            (Some(uri), Some(fetcher)) => fetcher.check(&uri).err().map(|error| error.to_string()),
            (Some(_), None) => None,
        }
    }

    fn root_fault(&self, tls: bool) -> Option<&'static str> {
        let Some(root) = self.root() else {
            return Some("is needed: where browsers find these pages, such as https://devices.example/");
        };
        match root.scheme() {
            "https" => None,
            _ if tls => Some("must begin with https, for this server speaks TLS"),
            _ if is_loopback(&root) => None,
            _ => Some("must begin with https: who is on the way could take the session"),
        }
    }
}

/// A URL of HTTP with neither user, query nor fragment.
fn is_plain(url: &Url) -> bool {
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    let has_user = !url.username().is_empty() || url.password().is_some();
    is_http && !has_user && url.query().is_none() && url.fragment().is_none()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn settings() -> LoginSettings {
        LoginSettings {
            issuer: "https://login.example".into(),
            client_id: "cuttlebone".into(),
            client_secret: None,
            scopes: vec!["profile".into()],
            public_url: "https://devices.example/lab".into(),
            name: "Example".into(),
            session: Duration::from_secs(60),
            attempt: Duration::from_secs(60),
            metadata: Duration::from_secs(60),
            exchanges: 1,
            key: None,
        }
    }

    fn keys(change: impl FnOnce(&mut LoginSettings), tls: bool) -> Vec<&'static str> {
        let mut settings = settings();
        change(&mut settings);
        let fetcher = Fetcher::new(&crate::fetch::FetchSettings::default()).expect("no file");
        settings.faults(tls, Some(&fetcher)).into_iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn good_settings_have_no_fault_and_the_root_ends_with_a_slash() {
        assert_eq!(keys(|_| {}, true), Vec::<&str>::new());
        assert_eq!(settings().root().expect("a root").as_str(), "https://devices.example/lab/");
    }

    #[test]
    fn issuer_is_a_url_that_is_asked() {
        for bad in
            ["", "login", "http://login.example", "https://a@b.example", "https://a.example?x", "https://10.0.0.1"]
        {
            assert_eq!(keys(|settings| settings.issuer = bad.into(), false), ["oidc.issuer"], "{bad}");
        }
    }

    #[test]
    fn pages_come_by_tls_or_from_this_machine() {
        for (url, tls, good) in [
            ("https://a.example", false, true),
            ("http://localhost:8080/", false, true),
            ("http://127.0.0.1:8080", false, true),
            ("http://[::1]:8080", false, true),
            ("http://127.0.0.1:8080", true, false),
            ("http://a.example", false, false),
            ("http://localhost.evil.example", false, false),
            ("a.example", false, false),
            ("https://a.example/?x", false, false),
            ("ftp://localhost/", false, false),
        ] {
            let found = keys(|settings| settings.public_url = url.into(), tls);
            assert_eq!(found.is_empty(), good, "{url} {tls}: {found:?}");
        }
    }

    #[test]
    fn all_faults_come_at_once() {
        let found = keys(
            |settings| {
                settings.client_id.clear();
                settings.scopes.push("a b".into());
                settings.name.clear();
                settings.session = Duration::from_millis(1);
                settings.attempt = LONGEST * 2;
                settings.metadata = Duration::ZERO;
                settings.exchanges = 0;
            },
            true,
        );
        let names = ["client_id", "scopes", "name", "session_ms", "attempt_ms", "metadata_ms", "exchanges"];
        assert_eq!(found, names.map(|name| ["oidc.", name].concat()));
    }

    #[test]
    fn secret_is_not_shown() {
        let secret = Some(ClientSecret::new("CANARY".into()));
        assert!(!format!("{:?}", LoginSettings { client_secret: secret, ..settings() }).contains("CANARY"));
    }
}
