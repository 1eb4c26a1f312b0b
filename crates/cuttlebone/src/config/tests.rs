mod access;
mod ice;
mod oidc;

use toml::{Table, Value};

use super::*;
use access::Temporary;
use cuttlebone_server::TlsSettings;

fn load(file: &str, variables: &[(&str, &str)], flags: Vec<Override>) -> Result<Config, Faults> {
    let mut merged = Merged::new();
    let path = PathBuf::from("test.toml");
    merged.add_file(&path, ConfigFile::parse(&path, file)?);
    let variables: Vec<(OsString, OsString)> =
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    merged.add_variables(variables.iter().cloned());
    merged.add_flags(flags);
    let (raw, faults) = merged.typed()?;
    settings::check(raw, &merged, faults, &variables)
}

fn faults(file: &str) -> String {
    load(file, &[], Vec::new()).expect_err("a fault").to_string()
}

fn shown(config: &Config) -> String {
    format!("{:?} {:?} {:?} {:?}", config.settings, config.audit, config.log, config.known)
}

/// Every key of the reference, with its default.
fn keys() -> Vec<(String, String, Value)> {
    let defaults: Table = DEFAULTS.parse().expect("TOML");
    defaults
        .into_iter()
        .flat_map(|(section, value)| {
            let table = value.as_table().expect("only sections").clone();
            table.into_iter().map(move |(key, value)| (section.clone(), key, value))
        })
        .collect()
}

#[test]
fn the_reference_is_what_the_server_takes_by_default() {
    let config = load("", &[], Vec::new()).expect("no fault");
    let expected = cuttlebone_server::Settings::default();
    assert_eq!(format!("{:?}", config.settings), format!("{expected:?}"));
}

#[test]
fn the_reference_has_exactly_the_keys_of_the_raw_structs() {
    let config = load("", &[], Vec::new()).expect("no fault");
    let printed: Table = toml::to_string(&config.raw).expect("TOML").parse().expect("TOML");
    assert_eq!(printed, DEFAULTS.parse::<Table>().expect("TOML"));
}

/// What is seen elsewhere.
const NOT_A_SETTING: [&str; 11] = [
    "server.allow_anonymous",
    "server.allow_plain_text",
    // Who is revoked is not counted; tests/it/access.rs sees that they are.
    "access.revoked_file",
    // tests/oidc.rs sees that they are read.
    "oidc.client_secret_file",
    "oidc.session_key_file",
    // Not shown; a test of its own sees its bounds.
    "access.verified_tokens",
    "tls.cert_file",
    "tls.key_file",
    // What goes together has a test of its own.
    "acme.accept_terms",
    "acme.external_account_kid",
    "acme.external_account_hmac_file",
];

/// What a key needs beside itself to have an effect.
fn beside<'a>(section: &str, path: &str, authority: &'a str) -> Vec<(&'static str, &'a str)> {
    let is_of_clients = path.starts_with("tls.client_") || path == "access.certificate";
    let mode = match section {
        "acme" => "acme",
        _ if is_of_clients || (section == "tls" && path != "tls.mode") => "self-signed",
        _ => "off",
    };
    let mut beside = vec![("CUTTLEBONE__TLS__MODE", mode)];
    if is_of_clients {
        beside.push(("CUTTLEBONE__TLS__CLIENT_AUTH", "required"));
        beside.push(("CUTTLEBONE__TLS__CLIENT_CA_FILE", authority));
    }
    if section == "acme" {
        beside.push(("CUTTLEBONE__ACME__DOMAINS", "[\"signal.example.org\"]"));
        beside.push(("CUTTLEBONE__ACME__ACCEPT_TERMS", "true"));
        beside.push(("CUTTLEBONE__TLS__REDIRECT_LISTEN", "127.0.0.2:80"));
    }
    if section == "oidc" {
        beside.extend(oidc::BASE);
    }
    if ["audit.max_bytes", "audit.keep"].contains(&path) {
        beside.push(("CUTTLEBONE__AUDIT__FILE", "audit.jsonl"));
    }
    beside
}

/// What every key is looked at with.
const BASE: [(&str, &str); 6] = [
    ("CUTTLEBONE__SERVER__ALLOW_ANONYMOUS", "true"),
    ("CUTTLEBONE__PROXY__TRUSTED", "[\"10.0.0.0/8\"]"),
    ("CUTTLEBONE__SERVER__LISTEN_UNIX", "/run/socket"),
    ("CUTTLEBONE__HOOK__URL", "https://hook.example/"),
    ("CUTTLEBONE__ICE__SERVERS", "[{urls = [\"turn:t\"], username = \"u\", credential = \"c\"}]"),
    ("HOME", "/home/user"),
];

#[test]
fn every_key_of_the_reference_changes_something() {
    let base = BASE;
    // A value of its own where adding to the default is none.
    let (tokens, public) = (Temporary::tokens("words"), Temporary::keys("words-keys"));
    let ((client_authority, lists), (other_authority, _)) =
        (access::authority("words"), access::authority("words-other"));
    let jwt = format!("[{{issuer = \"https://login.example\", keys_file = {:?}}}]", public.path());
    let authority = std::env::temp_dir().join(format!("cuttlebone-config-ca-{}", std::process::id()));
    TlsSettings::SelfSigned { state_dir: authority.clone(), names: Vec::new() }.load().expect("makes one");
    let certificate = authority.join("self-signed.pem").display().to_string();
    let words = [
        ("fetch.allow_private", "true"),
        ("fetch.ca_file", &certificate),
        ("hook.url", "https://hook.example/other"),
        ("hook.prefix", "ours_"),
        ("access.tokens_file", tokens.path()),
        ("access.token_in_query", "true"),
        ("access.jwt", &jwt),
        ("access.certificate", "[{dns = \"a\", roles = \"observer\"}]"),
        ("tls.client_auth", "optional"),
        ("tls.client_ca_file", client_authority.path()),
        ("tls.client_crl_file", lists.path()),
        ("audit.file", "audit.jsonl"),
        ("audit.output", "off"),
        ("devices.id_charset", "plain"),
        ("server.listen", "127.0.0.2:8081"),
        ("server.metrics_listen", ""),
        ("server.listen_unix", "/run/another"),
        ("server.listen_unix_mode", "0600"),
        ("server.listen_unix_group", "root"),
        ("access.user", "[{user = 0, name = \"root\", roles = [\"observer\"]}]"),
        ("server.reuse_port", "true"),
        ("server.allowed_origins", "[\"https://console.example\"]"),
        ("proxy.trusted", "[\"10.0.0.0/8\", \"127.0.0.1\"]"),
        ("proxy.header", "off"),
        ("proxy.protocol", "v1-v2"),
        ("tls.mode", "self-signed"),
        ("tls.state_dir", "/elsewhere"),
        ("tls.redirect_listen", "127.0.0.2:80"),
        ("acme.domains", "[\"other.example.org\"]"),
        ("acme.contact", "[\"admin@example.org\"]"),
        ("acme.directory_url", "https://authority.example/"),
        ("acme.challenge", "http-01"),
        ("acme.ca_file", &certificate),
        ("tls.hsts_max_age_s", "7"),
        ("connections.per_address", "7"),
        ("clients.resume_key", "kQ9zX2mV5bN8cR1tY4uW6pL07f3kQ9zX"),
        ("clients.resume_key_file", "src/watch.rs"),
        ("connections.pending_per_address", "7"),
        ("connections.per_address_per_second", "7"),
        ("ice.servers", "[{urls = [\"stun:stun.example\"]}]"),
        ("ice.providers", "[{url = \"https://turn.example/\", body = \"json\", secret = \"token\"}]"),
        ("ice.privacy", "relay-only"),
        ("ice.regions", "[{name = \"eu\", networks = [\"192.0.2.0/24\"]}]"),
        ("ice.default_region", "eu"),
        ("memory.limit_bytes", "100000000"),
        ("log.format", "json"),
        ("log.level", "debug"),
    ];
    for (section, key, default) in keys() {
        let path = format!("{section}.{key}");
        if NOT_A_SETTING.contains(&path.as_str()) {
            continue;
        }
        let value = match default {
            // The longest time there is can't become longer.
            Value::Integer(86_400_000) => "86399999".to_owned(),
            Value::Integer(number) => (number + 1).to_string(),
            _ => words.iter().chain(&oidc::WORDS).find(|(word, _)| *word == path).expect(&path).1.to_owned(),
        };
        let name = format!("CUTTLEBONE__{}__{}", section.to_uppercase(), key.to_uppercase());
        let mut before = base.to_vec();
        before.extend(beside(&section, &path, other_authority.path()));
        let mut after = before.clone();
        after.retain(|(other, _)| *other != name);
        after.push((&name, &value));
        let before = shown(&load("", &before, Vec::new()).expect("no fault"));
        let after = shown(&load("", &after, Vec::new()).expect(&path));
        assert_ne!(before, after, "{path} has no effect");
    }
    std::fs::remove_dir_all(authority).expect("removes");
}

#[test]
fn certificate_files_are_read_and_reach_the_settings() {
    let state_dir = std::env::temp_dir().join(format!("cuttlebone-config-{}", std::process::id()));
    TlsSettings::SelfSigned { state_dir: state_dir.clone(), names: Vec::new() }.load().expect("makes one");
    let both = state_dir.join("self-signed.pem");
    let file = |cert: &str| format!("[tls]\nmode = \"files\"\ncert_file = {cert:?}\nkey_file = {both:?}\n");
    let good = load(&file(&both.to_string_lossy()), &[], Vec::new());
    let bad = faults(&file("missing.pem"));
    let off = faults(&file("cert.pem").replace("\"files\"", "\"off\""));
    std::fs::remove_dir_all(state_dir).expect("removes");
    let expected = TlsSettings::Files { cert_file: both.clone(), key_file: both };
    assert_eq!(good.expect("no fault").settings.tls, Some(expected));
    assert!(bad.contains("tls.cert_file") && bad.contains("missing.pem"), "{bad}");
    assert!(off.contains("tls.cert_file: ") && off.contains("tls.key_file: ") && off.contains("has 2 faults"), "{off}");
}

#[test]
fn the_later_layer_wins() {
    let flag = || Override { flag: "--listen", key: ("server", "listen"), value: "127.0.0.1:4".into() };
    let file = "[server]\nlisten = \"127.0.0.1:2\"";
    let variable = [("CUTTLEBONE__SERVER__LISTEN", "127.0.0.1:3")];
    let port = |config: Result<Config, Faults>| config.expect("no fault").settings.listen.port();
    assert_eq!(port(load("", &[], Vec::new())), 8080);
    assert_eq!(port(load(file, &[], Vec::new())), 2);
    assert_eq!(port(load(file, &variable, Vec::new())), 3);
    assert_eq!(port(load(file, &variable, vec![flag()])), 4);
}

#[test]
fn all_faults_are_shown_with_key_and_place() {
    let file = "[server]\nlisten = \"nowhere\"\nlisen = 1\n\n[timeouts]\nping_ms = \"soon\"\nidle_ms = 0\n[sever]\n";
    let error = load(file, &[("CUTTLEBONE__LOG__LEVEL", "loud"), ("CUTTLEBONE__LOG", "x")], Vec::new());
    let text = error.expect_err("faults").to_string();
    for part in [
        "server.listen: expected ADDRESS:PORT",
        "(test.toml, line 2)",
        "server.lisen: is not a key",
        "(test.toml, line 3)",
        "timeouts.ping_ms: invalid type",
        "(test.toml, line 6)",
        "timeouts.idle_ms: must be above 0",
        "sever: is not a key",
        "(test.toml, line 8)",
        "(variable CUTTLEBONE__LOG__LEVEL)",
        "(variable CUTTLEBONE__LOG)",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn ice_servers_are_checked_and_know_their_line() {
    let text = faults("[[ice.servers]]\nurls = [\"stun:a\"]\n\n[[ice.servers]]\nurls = 5\ncolour = 1\n");
    assert!(text.contains("ice.servers[1].urls") && text.contains("line 5"), "{text}");
    assert!(text.contains("ice.servers[1].colour: is not a key"), "{text}");
    let text = faults("[[ice.servers]]\nurls = [\"stun:a\"]\n\n[[ice.servers]]\nurls = [\"http://a\"]\n");
    assert!(text.contains("ice.servers[1].urls: needs") && text.contains("line 5"), "{text}");
}

/// Somebody may look at a file that is of somebody else.
#[test]
fn a_configuration_forges_no_line_and_steers_no_terminal() {
    for file in [
        "[access]\nrevoked_file = \"/nowhere/\\u001b[31m\\nthe configuration has no fault\"",
        "[access]\n\"\\u001b[31m\\nthe configuration has no fault\" = 1",
        "[access]\ntokens_file = \"\\u202e\\u009b\"",
    ] {
        let faults = faults(file);
        let is_unsafe = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
        assert!(!faults.contains(is_unsafe) && faults.lines().count() == 2, "{faults:?}");
    }
}

#[test]
fn a_secret_is_in_no_message() {
    for file in [
        "[[ice.servers]]\nurls = [\"turn:a\"]\ncredential = 31337\n",
        "[[ice.servers]]\nurls = [\"turn:a\"]\ncredential = \"31337\"\n",
        "[[ice.servers]]\nurls = [\"turn:a\"]\ncredential = \"31337\n",
        "[clients]\nresume_key = \"31337\"\n",
        // Where they do not belong.
        "[ice]\nservers = \"31337\"\n",
        "[ice]\nservers = [\"a \\\"31337\\\", b\"]\n",
        "clients = \"31337\"\n",
        "[timeouts]\nping_ms = \"31337\"\n",
        "clients = 31337\n",
        "[log]\nformat = 31337\n",
        "[clients]\nresume_key = 31337\n",
    ] {
        let text = faults(file);
        assert!(!text.contains("31337"), "{text}");
    }
}

#[test]
fn a_secret_may_come_from_a_file() {
    let file = |rest: &str| format!("[[ice.servers]]\nurls = [\"turn:a\"]\nusername = \"u\"\n{rest}");
    let config = load(&file("credential_file = \"Cargo.toml\""), &[], Vec::new()).expect("no fault");
    assert_eq!(config.settings.ice.servers[0].server.credential.as_deref(), Some("[package]"));
    assert!(faults(&file("credential_file = \"missing\"")).contains("cannot read missing"));
    assert!(faults(&file("credential_file = \"Cargo.toml\"\ncredential = \"x\"")).contains("not both"));
}

#[test]
fn an_address_that_is_not_loopback_must_be_meant() {
    let file = "[server]\nlisten = \"0.0.0.0:8080\"\n";
    let text = faults(file);
    for part in ["--allow-anonymous", "--allow-plain-text", "server.listen: ", "tls.mode: ", "has 2 faults"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_eq!(text.matches("line 2)").count(), 2, "{text}");
    let config =
        load(&format!("{file}allow_anonymous = true\nallow_plain_text = true"), &[], Vec::new()).expect("no fault");
    let connections = config.settings.connections;
    assert_eq!((connections.per_address, connections.pending_per_address), (Some(128), Some(64)));
    assert_eq!((connections.rate_per_address.per_second, connections.rate_per_address.burst), (20, 100));
}

/// What comes by it counts among all connections.
#[test]
fn port_that_redirects_on_a_network_has_the_bounds_of_one() {
    for (redirect, expected) in [("0.0.0.0:80", Some(128)), ("127.0.0.1:80", None), ("", None)] {
        let file = format!("[tls]\nmode = \"self-signed\"\nstate_dir = \"state\"\nredirect_listen = {redirect:?}\n");
        let connections = load(&file, &[], Vec::new()).expect("no fault").settings.connections;
        assert_eq!(connections.per_address, expected, "{redirect}");
        assert_eq!(connections.pending_per_address.is_some(), expected.is_some(), "{redirect}");
    }
}

#[test]
fn proxy_on_this_machine_makes_loopback_a_network() {
    let file = "[proxy]\ntrusted = [\"127.0.0.1\"]\n";
    let text = faults(file);
    assert!(text.contains("proxy.trusted: names a proxy") && text.contains("line 2)"), "{text}");
    let config = load(&format!("{file}[server]\nallow_anonymous = true\n"), &[], Vec::new()).expect("no fault");
    let connections = config.settings.connections;
    assert_eq!((connections.per_address, connections.pending_per_address), (Some(128), Some(64)));
    assert_eq!(connections.rate_per_address.per_second, 20);
    assert!(matches!(config.audit, crate::audit::AuditOutput::Stdout), "it has an audit log as on a network");
    let tokens = Temporary::tokens("proxy");
    let config =
        load(&format!("{file}[access]\ntokens_file = {:?}\n", tokens.path()), &[], Vec::new()).expect("no fault");
    assert!(!config.settings.access.anonymous);
}

#[test]
fn proxies_are_named_exactly_and_all_faults_are_told() {
    let file = "[proxy]\ntrusted = [\"10.0.0.0/8\", \"0.0.0.0/0\", \"proxy.example\"]\nheader = \"forwarded\"\nprotocol = \"v3\"\n";
    let text = faults(&format!("{file}[server]\nallow_anonymous = true\n"));
    for part in [
        "proxy.trusted[1]: expected an address or a network",
        "proxy.trusted[2]: expected an address or a network",
        "proxy.header: expected \"off\" or \"x-forwarded-for\"",
        "proxy.protocol: expected \"off\" or \"v1-v2\"",
        "line 3)",
        "line 4)",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("trusted[0]"), "{text}");
    let text =
        faults("[proxy]\ntrusted = [\"unix\"]\n[[access.user]]\nuser = 0\nname = \"a\"\nroles = [\"observer\"]\n");
    assert!(text.contains("access.user: is for those") && text.contains("there is no server.listen_unix"), "{text}");
}

#[test]
fn every_fault_of_a_unix_socket_and_of_a_user_is_told() {
    let file = "[server]\nlisten_unix = \"/run/x\"\nlisten_unix_mode = \"rw\"\nlisten_unix_group = \"no such\"\n\
                [[access.user]]\nname = \"a\"\nroles = [\"device\"]\n\
                [[access.user]]\nuser = \"no such\"\nname = \"a\"\n\
                [[access.user]]\nuser = 1\nname = \"a\"\nroles = [\"device\"]\n\
                [[access.user]]\ngroup = 65534\nname = \"a\"\nroles = [\"observer\"]\n\
                [[access.user]]\nuser = 1\nname = \"a\"\nroles = [\"observer\"]\n";
    let text = faults(file);
    for part in [
        "server.listen_unix_mode: expected a mode in octal",
        "server.listen_unix_group: \"no such\" is not in /etc/group",
        "access.user[0]: needs either user or group",
        "access.user[1].user: \"no such\" is not in /etc/passwd",
        "access.user[2]: devices: is needed",
        "access.user[3].group: 65534 is what the system says of everybody",
        "line 3)",
        "line 9)",
        "has 6 faults",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn users_of_this_machine_are_somebody_so_that_others_are_not_served() {
    let file = "[[access.user]]\nuser = \"root\"\nname = \"a\"\nroles = [\"observer\"]\n";
    assert!(!load(file, &[], Vec::new()).expect("no fault").settings.access.anonymous);
}

#[test]
fn an_allowed_origin_is_exact() {
    let text = faults("[server]\nallowed_origins = [\"https://a.example\", \"https://b.example/\", \"*\"]\n");
    assert!(text.contains("allowed_origins[1]: expected an origin") && text.contains("line 2"), "{text}");
    assert!(text.contains("allowed_origins[2]") && !text.contains("allowed_origins[0]"), "{text}");
}

#[test]
fn a_variable_replaces_all_servers_of_the_file() {
    let variable = [("CUTTLEBONE__ICE__SERVERS", "[{urls = [\"stun:b\"]}, {}]")];
    let text = load("[[ice.servers]]\nurls = [\"stun:a\"]\n", &variable, Vec::new()).expect_err("fault").to_string();
    assert!(text.contains("variable CUTTLEBONE__ICE__SERVERS"), "{text}");
}

#[test]
fn certificate_of_an_authority_needs_names_and_consent() {
    let home = [("HOME", "/home/user")];
    let load = |acme: &str, more: &str| {
        load(&format!("[tls]\nmode = \"acme\"\nstate_dir = \"/state\"\n{more}[acme]\n{acme}"), &home, Vec::new())
    };
    let key = Temporary::new("eab", "a2V5a2V5a2V5\n");
    let good = "domains = [\"Signal.example.org\"]\naccept_terms = true\ncontact = [\"admin@example.org\"]\n";
    let external = format!("{good}external_account_kid = \"kid\"\nexternal_account_hmac_file = {:?}\n", key.path());
    let settings = load(&external, "").expect("no fault").settings;
    let acme = settings.acme.expect("it is set");
    assert_eq!(
        (acme.domains, acme.contact),
        (vec!["signal.example.org".into()], vec!["mailto:admin@example.org".into()])
    );
    assert_eq!(acme.external_account.expect("it is set").hmac, b"keykeykey");
    assert_eq!(settings.tls, Some(TlsSettings::Kept { file: "/state/acme.pem".into() }));
    assert_eq!(settings.https.hsts_max_age.as_secs(), 31_536_000);
    for (acme, expected) in [
        ("domains = [\"a.example\"]\n", "acme.accept_terms: must be true"),
        ("accept_terms = true\n", "acme.domains: must be 1 to 100"),
        ("accept_terms = true\ndomains = [\"*.a.example\"]\n", "acme.domains: names only"),
        (&format!("{good}challenge = \"http-01\"\n"), "needs tls.redirect_listen"),
        (&format!("{good}challenge = \"dns-01\"\n"), "acme.challenge: expected"),
        (&format!("{good}directory_url = \"http://a.example\"\n"), "acme.directory_url: must be an https URL"),
        (&format!("{good}renew_before_days = 0\n"), "acme.renew_before_days: must be"),
        (&format!("{good}external_account_kid = \"kid\"\n"), "acme.external_account_hmac_file: is needed"),
        (&format!("{good}retry_ms = 0\n"), "acme.retry_ms: must be above 0"),
        (&format!("{good}ca_file = \"Cargo.toml\"\n"), "acme.ca_file: Cargo.toml"),
    ] {
        let text = load(acme, "").expect_err(expected).to_string();
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
}

#[test]
fn network_has_an_audit_log_unless_it_is_switched_off_and_loopback_has_none_unless_it_is_named() {
    let output = |listen: &str, audit: &str| {
        let server = format!("[server]\nlisten = \"{listen}:1\"\nallow_anonymous = true\nallow_plain_text = true\n");
        load(&format!("{server}[audit]\n{audit}\n"), &[], Vec::new()).expect("no fault").audit
    };
    let file = AuditOutput::File { path: "x.jsonl".into(), max_bytes: 64 << 20, keep: 8 };
    assert_eq!(output("192.0.2.7", ""), AuditOutput::Stdout);
    assert_eq!(output("192.0.2.7", "output = \"off\""), AuditOutput::Off);
    assert_eq!(output("127.0.0.1", ""), AuditOutput::Off);
    assert_eq!(output("127.0.0.1", "output = \"stdout\""), AuditOutput::Stdout);
    for listen in ["192.0.2.7", "127.0.0.1"] {
        assert_eq!(output(listen, "file = \"x.jsonl\""), file);
    }
}
