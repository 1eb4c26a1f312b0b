use super::*;
use crate::errand::ErrandEnd;
use crate::provider::RequestBody;
use crate::region::Region;
use crate::secret::TurnSecret;
use crate::settings::Scope;

const NOW: u64 = 1_700_000_000;
const GIVEN: Credentials<'_> = Credentials::Given { opaque: "alice" };

fn server(urls: &[&str], credential: Option<&str>) -> ServerSettings {
    let urls = urls.iter().map(|&url| url.into()).collect();
    let username = credential.map(|_| "u".into());
    IceServer { urls, username, credential: credential.map(Into::into) }.into()
}

fn secret(letter: &str) -> TurnSecret {
    TurnSecret::new(&letter.repeat(32)).expect("long enough")
}

fn relay(url: &str, secrets: &[&str]) -> ServerSettings {
    ServerSettings { secrets: secrets.iter().map(|letter| secret(letter)).collect(), ..server(&[url], None) }
}

fn client(tenant: Option<&'static str>, address: &str) -> Peer<'static> {
    Peer { kind: PeerKind::Client, tenant, address: address.parse().ok() }
}

fn urls(ice: &Ice, peer: &Peer<'_>, credentials: Credentials<'_>) -> Vec<String> {
    ice.offer(peer, credentials, NOW).servers.into_iter().flat_map(|server| server.urls).collect()
}

#[test]
fn credential_is_made_from_the_first_secret_and_good_for_the_time_to_live() {
    let one = |secrets: &[&str]| {
        let ice = Ice::new(Settings { servers: vec![relay("turn:t", secrets)], ..Settings::default() });
        assert_eq!(ice.lifetime(&client(None, "192.0.2.1"), NOW), Some(Duration::from_secs(3600)));
        let offer = ice.offer(&client(None, "192.0.2.1"), GIVEN, NOW);
        assert_eq!(offer.made, 1);
        let [server] = &offer.servers[..] else { panic!("{offer:?}") };
        assert_eq!(server.username.as_deref(), Some("1700003600:alice"));
        server.credential.clone().expect("one")
    };
    assert_eq!(one(&["a", "b"]), one(&["a"]));
    assert_ne!(one(&["a", "b"]), one(&["b"]));
}

#[test]
fn t45_without_credentials_there_is_no_relay_and_nothing_of_a_credential() {
    let servers = vec![
        server(&["stun:s", "turn:fixed"], Some("CANARY")),
        server(&["turns:fixed"], Some("CANARY")),
        relay("turn:made", &["a"]),
    ];
    let ice = Ice::new(Settings { servers, ..Settings::default() });
    let offer = ice.offer(&client(None, "192.0.2.1"), Credentials::Withheld, NOW);
    assert_eq!(offer.servers, [server(&["stun:s"], None).server]);
    assert_eq!(offer.made, 0);
    assert_eq!(urls(&ice, &client(None, "192.0.2.1"), GIVEN).len(), 4);
}

#[test]
fn server_is_for_its_tenants_and_regions_and_any_other_for_everybody() {
    let scoped = |url: &str, tenants: &[&str], regions: &[&str]| {
        let texts = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        ServerSettings { scope: Scope { tenants: texts(tenants), regions: texts(regions) }, ..server(&[url], None) }
    };
    let ice = Ice::new(Settings {
        servers: vec![
            scoped("stun:all", &[], &[]),
            scoped("stun:lab", &["lab"], &[]),
            scoped("stun:eu", &[], &["eu"]),
            scoped("stun:lab-eu", &["lab"], &["eu"]),
            scoped("stun:far", &[], &["far"]),
        ],
        regions: vec![Region { name: "eu".into(), networks: vec!["192.0.2.0/24".parse().expect("a network")] }],
        default_region: Some("far".into()),
        ..Settings::default()
    });
    let of = |tenant, address| urls(&ice, &client(tenant, address), GIVEN);
    assert_eq!(of(None, "192.0.2.1"), ["stun:all", "stun:eu"]);
    assert_eq!(of(Some("lab"), "192.0.2.1"), ["stun:all", "stun:lab", "stun:eu", "stun:lab-eu"]);
    assert_eq!(of(Some("other"), "198.51.100.1"), ["stun:all", "stun:far"]);
    assert_eq!(of(None, "nowhere"), ["stun:all", "stun:far"], "no address is in no network");
}

#[test]
fn relay_only_is_for_clients() {
    let servers = vec![server(&["stun:s"], None), server(&["stun:t", "turn:t", "turns:t"], Some("c"))];
    let ice = Ice::new(Settings { servers, privacy: Privacy::RelayOnly, ..Settings::default() });
    let peer = client(None, "192.0.2.1");
    assert_eq!(urls(&ice, &peer, GIVEN), ["turn:t", "turns:t"]);
    assert!(urls(&ice, &peer, Credentials::Withheld).is_empty());
    let device = Peer { kind: PeerKind::Device, ..peer };
    assert_eq!(urls(&ice, &device, GIVEN), ["stun:s", "stun:t", "turn:t", "turns:t"]);
    assert_eq!((ice.policy(PeerKind::Client), ice.policy(PeerKind::Device)), (Policy::Relay, Policy::All));
}

#[test]
fn servers_of_a_provider_are_told_once_it_has_answered_and_kept_over_a_reload() {
    let provider = ProviderSettings {
        url: "https://p.example/".into(),
        body: RequestBody::Json,
        username: None,
        secret: "x".into(),
        scope: Scope { tenants: vec!["lab".into()], regions: Vec::new() },
    };
    let settings = Settings { providers: vec![provider.clone()], ..Settings::default() };
    let ice = Ice::new(settings.clone());
    let (peer, stranger) = (client(Some("lab"), "192.0.2.1"), client(None, "192.0.2.1"));
    assert!(ice.begin_errands(&stranger, NOW).is_empty(), "none of its business");
    let errands = ice.begin_errands(&peer, NOW);
    let [errand] = &errands[..] else { panic!("one") };
    assert!(ice.is_awaited(&peer, NOW) && !ice.is_awaited(&stranger, NOW));
    assert_eq!(ice.lifetime(&peer, NOW), None);
    let answer = br#"{"iceServers":[{"urls":["stun:s"]},{"urls":"turn:t","username":"u","credential":"c"}],"ttl":600}"#;
    assert_eq!(errand.end(Some(answer), NOW, NOW), ErrandEnd::Done { is_news: true });
    assert_eq!(urls(&ice, &peer, GIVEN), ["stun:s", "turn:t"]);
    assert_eq!(urls(&ice, &peer, Credentials::Withheld), ["stun:s"]);
    assert!(urls(&ice, &stranger, GIVEN).is_empty());
    assert_eq!(ice.lifetime(&peer, NOW + 100), Some(Duration::from_secs(500)));

    let kept = ice.succeeding(Settings { servers: vec![server(&["stun:new"], None)], ..settings.clone() });
    assert_eq!(urls(&kept, &peer, GIVEN), ["stun:new", "stun:s", "turn:t"]);
    let other = ProviderSettings { secret: "y".into(), ..provider };
    let anew = ice.succeeding(Settings { providers: vec![other], ..settings.clone() });
    assert!(urls(&anew, &peer, GIVEN).is_empty(), "what it was given for another key");
    let shorter = ice.succeeding(Settings { ttl: Duration::from_secs(300), ..settings });
    assert!(urls(&shorter, &peer, GIVEN).is_empty(), "what was asked for more time");
}
