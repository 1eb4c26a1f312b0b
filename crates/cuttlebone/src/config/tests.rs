mod access;
mod ice;

use std::collections::BTreeSet;

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

#[test]
fn every_key_of_the_reference_changes_something() {
    // What a key needs beside itself to have an effect, and a value of its own where adding to the default is none.
    let base = [
        ("CUTTLEBONE__SERVER__ALLOW_ANONYMOUS", "true"),
        ("CUTTLEBONE__ICE__SERVERS", "[{urls = [\"turn:t\"], username = \"u\", credential = \"c\"}]"),
        ("HOME", "/home/user"),
    ];
    let (tokens, public) = (Temporary::tokens("words"), Temporary::keys("words-keys"));
    let jwt = format!("[{{issuer = \"https://login.example\", keys_file = {:?}}}]", public.path());
    let authority = std::env::temp_dir().join(format!("cuttlebone-config-ca-{}", std::process::id()));
    TlsSettings::SelfSigned { state_dir: authority.clone(), names: Vec::new() }.load().expect("makes one");
    let certificate = authority.join("self-signed.pem").display().to_string();
    let words = [
        ("fetch.allow_private", "true"),
        ("fetch.ca_file", &certificate),
        ("access.tokens_file", tokens.path()),
        ("access.token_in_query", "true"),
        ("access.jwt", &jwt),
        ("audit.file", "audit.jsonl"),
        ("audit.output", "stdout"),
        ("server.listen", "127.0.0.2:8081"),
        ("server.metrics_listen", ""),
        ("server.reuse_port", "true"),
        ("server.allowed_origins", "[\"https://console.example\"]"),
        ("tls.mode", "self-signed"),
        ("tls.state_dir", "/elsewhere"),
        ("connections.per_address", "7"),
        ("clients.resume_key", "0123456789abcdef0123456789abcdef"),
        ("clients.resume_key_file", "src/main.rs"),
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
    let not_a_setting = [
        "server.allow_anonymous",
        "server.allow_plain_text",
        // Who is revoked is not counted; tests/it/access.rs sees that they are.
        "access.revoked_file",
        "tls.cert_file",
        "tls.key_file",
    ];
    let not_a_setting = BTreeSet::from(not_a_setting);
    for (section, key, default) in keys() {
        let path = format!("{section}.{key}");
        if not_a_setting.contains(path.as_str()) {
            continue;
        }
        let value = match default {
            // The longest time there is can't become longer.
            Value::Integer(86_400_000) => "1".to_owned(),
            Value::Integer(number) => (number + 1).to_string(),
            _ => words.iter().find(|(word, _)| *word == path).expect(&path).1.to_owned(),
        };
        let name = format!("CUTTLEBONE__{}__{}", section.to_uppercase(), key.to_uppercase());
        let mode = if path == "tls.state_dir" { "self-signed" } else { "off" };
        let mut before = base.to_vec();
        before.push(("CUTTLEBONE__TLS__MODE", mode));
        if ["audit.max_bytes", "audit.keep"].contains(&path.as_str()) {
            before.push(("CUTTLEBONE__AUDIT__FILE", "audit.jsonl"));
        }
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
    std::fs::remove_dir_all(state_dir).expect("removes");
    let expected = TlsSettings::Files { cert_file: both.clone(), key_file: both };
    assert_eq!(good.expect("no fault").settings.tls, Some(expected));
    assert!(bad.contains("tls.cert_file") && bad.contains("missing.pem"), "{bad}");
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

#[test]
fn a_secret_is_in_no_message() {
    for file in [
        "[[ice.servers]]\nurls = [\"turn:a\"]\ncredential = 31337\n",
        "[[ice.servers]]\nurls = [\"turn:a\"]\ncredential = \"31337\"\n",
        "[[ice.servers]]\nurls = [\"turn:a\"]\ncredential = \"31337\n",
        "[clients]\nresume_key = \"31337\"\n",
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
