//! What an operator says, and what is wrong with it.

use std::time::Duration;

use cuttlebone_proto::IceServer;

use crate::provider::ProviderSettings;
use crate::region::Region;
use crate::secret::TurnSecret;

/// Servers, providers or regions in all: a peer may be told of all of them in one message.
const MOST: usize = 32;
/// Addresses of one server.
pub(crate) const MOST_URLS: usize = 16;
/// Bytes of an address, a user name or a credential. All of a list together are less than a small device reads at once.
pub(crate) const MOST_BYTES: usize = 512;
/// Bytes of everything that one peer may be told of: a small device reads 65,536 at once.
pub(crate) const MOST_IN_ALL: usize = 48 * 1024;

/// Everything that is told to peers, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Servers with a fixed credential, a secret, or none: `ice.servers`.
    pub servers: Vec<ServerSettings>,
    /// Those who are asked for servers: `ice.providers`.
    pub providers: Vec<ProviderSettings>,
    /// Where peers are: `ice.regions`.
    pub regions: Vec<Region>,
    /// Where a peer is whose address is in none of them: `ice.default_region`.
    pub default_region: Option<String>,
    /// What clients may use: `ice.privacy`.
    pub privacy: Privacy,
    /// How long a credential is good for: `ice.ttl_ms`.
    pub ttl: Duration,
}

/// One server: its addresses, and how a peer shows that it may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// The addresses, with the credential if that is fixed.
    pub server: IceServer,
    /// What credentials are made from: the first makes them. The others are those that the server accepts as well while they are
    /// being replaced; nothing is made from them.
    pub secrets: Vec<TurnSecret>,
    /// Who is told.
    pub scope: Scope,
}

/// Who is told of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Those of these tenants; empty is everybody.
    pub tenants: Vec<String>,
    /// Those in these regions; empty is everywhere.
    pub regions: Vec<String>,
}

/// What clients may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Privacy {
    /// Whatever gets through.
    #[default]
    All,
    /// Relays only, so that no device learns the address of a client.
    RelayOnly,
}

/// One thing that can't be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, below `ice`: `servers[0].urls`.
    pub place: String,
    /// What it has to be.
    pub text: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            providers: Vec::new(),
            regions: Vec::new(),
            default_region: None,
            privacy: Privacy::All,
            ttl: Duration::from_secs(3600),
        }
    }
}

impl From<IceServer> for ServerSettings {
    /// For everybody, as it is.
    fn from(server: IceServer) -> Self {
        Self { server, secrets: Vec::new(), scope: Scope::default() }
    }
}

impl Scope {
    pub(crate) fn has(&self, tenant: Option<&str>, region: Option<&str>) -> bool {
        let is_in = |names: &[String], name: Option<&str>| {
            names.is_empty() || name.is_some_and(|name| names.iter().any(|known| known == name))
        };
        is_in(&self.tenants, tenant) && is_in(&self.regions, region)
    }
}

impl ServerSettings {
    /// Whether a relay is among its addresses.
    pub(crate) fn is_relay(&self) -> bool {
        self.server.urls.iter().any(|url| is_relay(url))
    }
}

impl Settings {
    /// Whether anybody may be told of a relay.
    #[must_use]
    pub fn has_relay(&self) -> bool {
        !self.providers.is_empty() || self.servers.iter().any(ServerSettings::is_relay)
    }

    /// All that is wrong, in the order of the configuration.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.check(self.servers.len() <= MOST, "servers", || format!("has at most {MOST} entries"));
        for (index, server) in self.servers.iter().enumerate() {
            self.check_server(&format!("servers[{index}]"), server, &mut faults);
        }
        let bytes: usize = self.servers.iter().map(|server| bytes_of(&server.server)).sum();
        faults.check(bytes <= MOST_IN_ALL, "servers", || format!("has at most {MOST_IN_ALL} bytes in all"));
        faults.check(self.providers.len() <= MOST, "providers", || format!("has at most {MOST} entries"));
        for (index, provider) in self.providers.iter().enumerate() {
            let place = format!("providers[{index}]");
            let is_shown = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            faults.check(is_shown(provider.secret()), &format!("{place}.secret"), || {
                "needs the token or password, in printable ASCII".into()
            });
            self.check_scope(&place, &provider.scope, &mut faults);
        }
        self.check_regions(&mut faults);
        let has_time = self.ttl >= Duration::from_secs(1);
        faults.check(has_time, "ttl_ms", || "must be at least a second".into());
        let has_relay = self.privacy == Privacy::All || self.has_relay();
        faults.check(has_relay, "privacy", || "\"relay-only\" needs a turn: server or a provider".into());
        faults.0
    }

    fn check_server(&self, place: &str, entry: &ServerSettings, faults: &mut Faults) {
        let ServerSettings { server, secrets, scope } = entry;
        let good = !server.urls.is_empty() && server.urls.iter().all(|url| is_url(url));
        faults.check(good, &format!("{place}.urls"), || {
            "needs at least one, each with stun:, stuns:, turn: or turns:".into()
        });
        faults.check(server.urls.len() <= MOST_URLS, &format!("{place}.urls"), || {
            format!("has at most {MOST_URLS} entries")
        });
        let has_fixed = server.username.is_some() || server.credential.is_some();
        let is_complete = server.username.is_some() && server.credential.is_some();
        if secrets.is_empty() {
            faults.check(!entry.is_relay() || is_complete, &format!("{place}.credential"), || {
                "a turn: server needs username and credential, or secrets".into()
            });
        } else {
            faults.check(entry.is_relay(), &format!("{place}.secrets"), || "is for turn: servers".into());
            faults.check(!has_fixed, &format!("{place}.secrets"), || {
                "give secrets, or username and credential, not both".into()
            });
        }
        self.check_scope(place, scope, faults);
    }

    fn check_scope(&self, place: &str, scope: &Scope, faults: &mut Faults) {
        let unknown = scope.regions.iter().find(|name| !self.knows_region(name));
        faults.check(unknown.is_none(), &format!("{place}.regions"), || {
            format!("{:?} is no region of ice.regions or ice.default_region", unknown.map_or("", String::as_str))
        });
    }

    fn check_regions(&self, faults: &mut Faults) {
        faults.check(self.regions.len() <= MOST, "regions", || format!("has at most {MOST} entries"));
        for (index, region) in self.regions.iter().enumerate() {
            let is_new = !self.regions[..index].iter().any(|other| other.name == region.name);
            let is_good = !region.name.is_empty() && region.name.len() <= 64;
            faults.check(is_good && is_new, &format!("regions[{index}].name"), || {
                "needs a name of 1 to 64 bytes that no other region has".into()
            });
            faults.check(!region.networks.is_empty(), &format!("regions[{index}].networks"), || {
                "needs at least one, such as \"192.0.2.0/24\"".into()
            });
        }
    }

    /// The default one need not have networks of its own.
    fn knows_region(&self, name: &str) -> bool {
        self.default_region.as_deref() == Some(name) || self.regions.iter().any(|region| region.name == name)
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn check(&mut self, good: bool, place: &str, text: impl FnOnce() -> String) {
        if !good {
            self.0.push(Fault { place: place.to_owned(), text: text() });
        }
    }
}

/// Whether an address is one of a relay.
pub(crate) fn is_relay(url: &str) -> bool {
    url.starts_with("turn:") || url.starts_with("turns:")
}

/// Whether it is the address of a server, as far as its first letters and its length tell.
pub(crate) fn is_url(url: &str) -> bool {
    let known = ["stun:", "stuns:", "turn:", "turns:"].iter().any(|scheme| url.starts_with(scheme));
    known && url.len() <= MOST_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// About how long servers are in a `config`, in bytes.
pub(crate) fn bytes_of_all(servers: &[IceServer]) -> usize {
    servers.iter().map(bytes_of).sum()
}

fn bytes_of(server: &IceServer) -> usize {
    let texts = server.urls.iter().chain(&server.username).chain(&server.credential);
    texts.map(|text| written(text) + 64).sum()
}

/// How long a text is in JSON, at most.
fn written(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => r"\u0000".len(),
        _ => 1,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_that_of_the_text_as_it_is_sent() {
        for text in ["turn:a.example:3478?transport=udp", r#"a"b\c"#, "a\u{1}\u{7f}é\u{10ffff}"] {
            assert_eq!(written(text) + 2, serde_json::to_string(text).expect("JSON").len(), "{text:?}");
        }
        let server = |of: &str| IceServer {
            urls: vec![format!("turn:{}.example", "a".repeat(490))],
            username: Some(of.repeat(MOST_BYTES)),
            credential: Some(of.repeat(MOST_BYTES)),
        };
        for of in ["x", "\"", "\u{1}"] {
            let all = vec![server(of); 40];
            let told = all.iter().scan(0, |bytes, one| {
                *bytes += bytes_of(one);
                (*bytes <= MOST_IN_ALL).then(|| one.clone())
            });
            let config = cuttlebone_proto::encode::config(&told.collect::<Vec<_>>());
            assert!((40_000..65_536).contains(&config.len()), "{}", config.len());
        }
    }

    fn server(urls: &[&str], username: Option<&str>, credential: Option<&str>) -> ServerSettings {
        let urls = urls.iter().map(|&url| url.into()).collect();
        IceServer { urls, username: username.map(Into::into), credential: credential.map(Into::into) }.into()
    }

    fn places(settings: &Settings) -> Vec<String> {
        settings.faults().into_iter().map(|fault| fault.place).collect()
    }

    fn secret() -> TurnSecret {
        TurnSecret::new(&"s".repeat(32)).expect("long enough")
    }

    #[test]
    fn servers_need_urls_and_relays_a_credential_or_secrets() {
        let mut both = server(&["turn:t"], Some("u"), None);
        both.secrets = vec![secret()];
        let mut of_stun = server(&["stun:s"], None, None);
        of_stun.secrets = vec![secret()];
        let mut good = server(&["stun:s", "turns:t"], None, None);
        good.secrets = vec![secret(), secret()];
        let settings = Settings {
            servers: vec![
                server(&[], None, None),
                server(&["http://x"], None, None),
                server(&["turn:t"], Some("u"), None),
                both,
                of_stun,
                good,
                server(&["turn:a b"], Some("u"), Some("c")),
            ],
            ..Settings::default()
        };
        let expected = ["servers[0].urls", "servers[1].urls", "servers[2].credential", "servers[3].secrets"];
        let more = ["servers[4].secrets", "servers[6].urls"];
        assert_eq!(places(&settings), [&expected[..], &more].concat());
    }

    #[test]
    fn regions_are_named_once_and_known_where_they_are_used() {
        let region = |name: &str| Region { name: name.into(), networks: vec!["10.0.0.0/8".parse().expect("one")] };
        let mut of_eu = server(&["stun:s"], None, None);
        of_eu.scope.regions = vec!["eu".into(), "moon".into()];
        let mut settings = Settings { servers: vec![of_eu], ..Settings::default() };
        settings.regions = vec![region("eu"), region("eu"), region("")];
        assert_eq!(places(&settings), ["servers[0].regions", "regions[1].name", "regions[2].name"]);
        settings.default_region = Some("moon".into());
        settings.regions = vec![Region { networks: Vec::new(), ..region("eu") }];
        assert_eq!(places(&settings), ["regions[0].networks"]);
    }

    #[test]
    fn relay_only_needs_a_relay_and_a_credential_needs_time() {
        let mut settings = Settings { privacy: Privacy::RelayOnly, ttl: Duration::ZERO, ..Settings::default() };
        settings.servers = vec![server(&["stun:s"], None, None)];
        assert_eq!(places(&settings), ["ttl_ms", "privacy"]);
        settings.servers = vec![server(&["turn:s"], Some("u"), Some("c"))];
        settings.ttl = Duration::from_secs(1);
        assert!(settings.faults().is_empty());
    }

    #[test]
    fn list_is_bounded_in_entries_and_bytes() {
        let many = vec![server(&["stun:s"], None, None); MOST + 1];
        assert_eq!(places(&Settings { servers: many, ..Settings::default() }), ["servers"]);
        let long = format!("stun:{}", "s".repeat(400));
        let large = vec![server(&[long.as_str(); MOST_URLS], None, None); 8];
        assert_eq!(places(&Settings { servers: large, ..Settings::default() }), ["servers"]);
        let urls = server(&["stun:s"; MOST_URLS + 1], None, None);
        assert_eq!(places(&Settings { servers: vec![urls], ..Settings::default() }), ["servers[0].urls"]);
    }
}
