//! `[access]`

use std::os::unix::fs::PermissionsExt;

use super::*;

const HASH: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// RFC 8410, 10.1.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
const SECRET: &str = "CANARY-7f3kQ9zX2mV5bN8cR1tY4uW6pL0";

/// A file of one test; removed when dropped.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cuttlebone-access-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("is ours");
        Self(path)
    }

    /// With one token.
    pub(super) fn tokens(name: &str) -> Self {
        Self::new(name, &format!("{HASH} name=a role=observer\n"))
    }

    /// With one public key.
    pub(super) fn keys(name: &str) -> Self {
        Self::new(name, PUBLIC)
    }

    pub(super) fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

type CertificateIssuer = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

fn issuer_of_certificates() -> CertificateIssuer {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().expect("a key"));
    issuer.expect("an authority")
}

/// A list of what it takes back, PEM.
fn list(issuer: &CertificateIssuer, serials: &[u64]) -> String {
    let revoked = serials.iter().map(|serial| rcgen::RevokedCertParams {
        serial_number: rcgen::SerialNumber::from(*serial),
        revocation_time: rcgen::date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2046, 1, 1),
        crl_number: rcgen::SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).expect("signed").pem().expect("PEM")
}

/// An authority, and a list of hers with nobody on it.
pub(super) fn authority(name: &str) -> (Temporary, Temporary) {
    let issuer = issuer_of_certificates();
    let list = list(&issuer, &[]);
    (Temporary::new(&format!("{name}-ca"), &issuer.pem()), Temporary::new(&format!("{name}-crl"), &list))
}

/// An issuer with one more line.
fn issuer(keys: &Temporary, line: &str) -> String {
    format!("[[access.jwt]]\nissuer = \"https://a.example\"\nkeys_file = {:?}\n{line}\n", keys.path())
}

#[test]
fn everybody_is_served_where_nobody_is_named_and_nobody_else_reaches_the_server() {
    let tokens = Temporary::new("anonymous", "");
    let access = format!("[access]\ntokens_file = {:?}\n", tokens.path());
    let network = "[server]\nlisten = \"0.0.0.0:1\"\nallow_plain_text = true\n";
    let allow = "allow_anonymous = true\n";
    for (file, expected) in [
        (String::new(), true),
        (access.clone(), false),
        (format!("[server]\n{allow}{access}"), true),
        (format!("{network}{access}"), false),
        (format!("{network}{allow}"), true),
        (format!("{network}{allow}{access}"), true),
    ] {
        let config = load(&file, &[], Vec::new()).expect("no fault");
        assert_eq!(config.settings.access.anonymous, expected, "{file}");
    }
}

#[test]
fn faults_in_a_file_of_tokens_have_its_name_and_their_lines() {
    let tokens =
        Temporary::new("faults", &format!("# ours\n{HASH} name=a role=boss\n\nsha256:12 name=b role=observer\n"));
    let text = faults(&format!("[access]\ntokens_file = {:?}\nfailure_delay_ms = \"long\"\n", tokens.path()));
    for part in ["role: ", &format!("({}, line 2)", tokens.path()), &format!("({}, line 4)", tokens.path())] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(text.contains("access.failure_delay_ms: ") && text.contains("has 3 faults"), "{text}");
}

#[test]
fn a_file_that_is_something_else_does_not_fill_the_screen() {
    let tokens = Temporary::new("else", &"CANARY\n".repeat(100));
    let text = faults(&format!("[access]\ntokens_file = {:?}\n", tokens.path()));
    assert!(text.contains("more faults") && text.contains("line 1)"), "{text}");
    assert!(text.lines().count() < 30 && !text.contains("CANARY"), "{text}");
}

#[test]
fn every_key_of_an_issuer_changes_what_is_accepted() {
    let keys = Temporary::keys("issuer");
    for line in [
        "",
        "audience = \"a\"",
        "audience = [\"a\", \"b\"]",
        "algorithm = \"EdDSA\"",
        "leeway_ms = 0",
        "max_age_ms = 60000",
        "max_age_ms = 0",
        "roles_claim = \"groups\"",
        "devices_claim = \"ids\"",
        "tenant_claim = \"org\"",
        "tenant = \"lab7\"",
    ] {
        let config = load(&issuer(&keys, line), &[], Vec::new()).expect(line);
        assert_eq!((config.known.issuers, config.settings.access.anonymous), (1, false), "{line}");
    }
}

#[test]
fn faults_of_issuers_have_key_and_line_and_come_all_at_once() {
    let keys = Temporary::keys("fault");
    for (line, key, part) in [
        ("audience = \"\"", "access.jwt[0].audience", "audiences"),
        ("roles = {}", "access.jwt[0].roles", "is empty"),
        ("leeway_ms = 1500", "access.jwt[0].leeway_ms", "whole seconds"),
        ("leeway_ms = 900000", "access.jwt[0].leeway_ms", "at most 600 seconds"),
        ("max_age_ms = 1", "access.jwt[0].max_age_ms", "whole seconds"),
        ("roles_claim = \"\"", "access.jwt[0]", "claim"),
        ("tenant = \"a b\"", "access.jwt[0].tenant", "A-Z"),
        ("tenant = \"a\"\ntenant_claim = \"b\"", "access.jwt[0].tenant", "not both"),
        ("algorithm = \"none\"", "access.jwt[0].algorithm", "not one"),
        ("algorithm = \"RS256\"", "access.jwt[0].keys_file", "algorithm"),
        ("secret_file = \"x\"", "access.jwt[0].secret_file", "give one of"),
        ("jwks_url = \"https://a.example/\"", "access.jwt[0].jwks_url", "not both"),
        ("colour = 1", "access.jwt[0].colour", "is not a key"),
    ] {
        let text = faults(&issuer(&keys, line));
        assert!(text.contains(&format!("{key}: ")) && text.contains(part) && text.contains("line "), "{line}: {text}");
    }
    let text = faults("[[access.jwt]]\nissuer = \"a#b\"\nkeys_file = \"missing\"\n\n[[access.jwt]]\nissuer = \"c\"\n");
    assert!(text.contains("access.jwt[0].issuer: ") && text.contains("line 2)"), "{text}");
    assert!(text.contains("access.jwt[0].keys_file: cannot read missing") && text.contains("line 3)"), "{text}");
    assert!(text.contains("access.jwt[1]: needs keys_file, jwks_url or secret_file"), "{text}");
}

/// An issuer with its keys at a URL, and more lines.
fn remote(url: &str, lines: &str) -> String {
    format!("[[access.jwt]]\nissuer = \"https://a.example\"\njwks_url = {url:?}\n{lines}\n")
}

#[test]
fn url_of_keys_and_of_the_hook_is_https_and_not_of_a_private_address_unless_that_is_allowed() {
    let allow = "[fetch]\nallow_private = true\n";
    for (url, good, good_if_allowed) in [
        ("https://a.example/jwks?x=y", true, true),
        ("https://10.0.0.1/jwks", false, true),
        ("http://127.0.0.1:1/", false, true),
        ("http://a.example/jwks", false, false),
        ("https://CANARY:CANARY@a.example/", false, false),
        ("a.example/jwks", false, false),
        ("", false, false),
        ("not a url", false, false),
    ] {
        for (more, good) in [("", good), (allow, good_if_allowed)] {
            let loaded = load(&remote(url, more), &[], Vec::new());
            let fault = loaded.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert_eq!(loaded.is_ok(), good, "{url}: {fault}");
            assert!(good || (fault.contains("access.jwt[0].jwks_url: ") && fault.contains("line 3)")), "{fault}");
            assert!(!fault.contains("CANARY"), "{fault}");
            let loaded = load(&format!("[hook]\nurl = {url:?}\n{more}"), &[], Vec::new());
            let fault = loaded.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert_eq!(loaded.is_ok(), good || url.is_empty(), "{url}: {fault}");
            assert!(good || url.is_empty() || (fault.contains("hook.url: ") && fault.contains("line 2)")), "{fault}");
            assert!(!fault.contains("CANARY"), "{fault}");
        }
    }
    assert!(faults(&remote("https://a.example/", "algorithm = \"ES256\"")).contains("access.jwt[0].algorithm: "));
}

#[test]
fn bounds_of_access_and_of_the_hook_fit_together() {
    let hook = |line: &str| format!("[hook]\nurl = \"https://a.example/\"\n{line}\n");
    for (file, key) in [
        ("[access]\nverified_tokens = 1\n".to_owned(), "access.verified_tokens"),
        ("[access]\nverified_tokens = 10000001\n".to_owned(), "access.verified_tokens"),
        ("[access]\nremembered_addresses = 0\n".to_owned(), "access.remembered_addresses"),
        ("[access]\njwks_refresh_ms = 0\n".to_owned(), "access.jwks_refresh_ms"),
        ("[access]\njwks_refresh_ms = 86400000\n".to_owned(), "access.jwks_stale_ms"),
        ("[access]\njwks_min_refetch_ms = 600001\n".to_owned(), "access.jwks_min_refetch_ms"),
        ("[access]\njwks_min_refetch_ms = 0\n".to_owned(), "access.jwks_min_refetch_ms"),
        ("[access]\njwks_stale_ms = 86400001\n".to_owned(), "access.jwks_stale_ms"),
        (hook("timeout_ms = 0"), "hook.timeout_ms"),
        (hook("timeout_ms = 60001"), "hook.timeout_ms"),
        (hook("recheck_ms = 0"), "hook.recheck_ms"),
        (hook("stale_ms = 59999"), "hook.stale_ms"),
        (hook("cache_ms = 600001"), "hook.stale_ms"),
        (hook("concurrent = 0"), "hook.concurrent"),
        (hook("waiting = 0"), "hook.waiting"),
        (hook("kept = 0"), "hook.kept"),
        (hook("colour = 1"), "hook.colour"),
    ] {
        let text = faults(&file);
        assert!(text.contains(&format!("{key}: ")), "{file}: {text}");
    }
}

#[test]
fn who_has_a_hook_asks_for_tokens() {
    let config = load("[hook]\nurl = \"https://a.example/\"\n", &[], Vec::new()).expect("no fault");
    assert!(!config.settings.access.anonymous && config.settings.access.hook.is_some());
    let config = load(&remote("https://a.example/", ""), &[], Vec::new()).expect("no fault");
    assert_eq!((config.known.issuers, config.settings.access.anonymous), (1, false));
}

#[test]
fn an_issuer_is_named_once() {
    let keys = Temporary::keys("twice");
    let text = faults(&(issuer(&keys, "") + &issuer(&keys, "")));
    assert!(text.contains("access.jwt[1].issuer: there are two issuers of this name"), "{text}");
}

#[test]
fn a_secret_is_long_and_of_nobody_else_and_never_shown() {
    let file = |secret: &Temporary, more: &str| {
        format!("[[access.jwt]]\nissuer = \"a\"\nsecret_file = {:?}\n{more}\n", secret.path())
    };
    let good = Temporary::new("good", &format!("{SECRET}\n"));
    assert!(load(&file(&good, "algorithm = \"HS256\""), &[], Vec::new()).is_ok());
    for (name, secret, more) in [
        ("short", "CANARY", ""),
        ("sample", "CANARY-secret-secret-secret-secret", ""),
        ("hs512", SECRET, "algorithm = \"HS512\""),
        ("out", &format!("# {SECRET}\n"), ""),
        ("mark", &format!("\u{feff} \t# {SECRET}\n"), ""),
        ("set", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"CANARY7f3kQ9zX2mV5bN8cR1tY4uW\"}]}", ""),
    ] {
        let text = faults(&file(&Temporary::new(name, secret), more));
        assert!(text.contains("access.jwt[0].secret_file: ") && !text.contains("CANARY"), "{text}");
    }
    let taken_back = Temporary::new("taken-back", &format!("# CANARY\n{SECRET}\n"));
    assert!(load(&file(&taken_back, ""), &[], Vec::new()).is_ok());
    let mixed = Temporary::new("mixed", SECRET);
    assert!(faults(&file(&mixed, "algorithm = \"ES256\"")).contains("algorithm"));
}

#[test]
fn a_key_that_can_not_be_used_is_warned_of() {
    let point = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";
    let set = format!(r#"{{"keys":[{{"kty":"oct","k":"CANARY"}},{{"kty":"OKP","crv":"Ed25519","x":"{point}"}}]}}"#);
    let keys = Temporary::new("set", &set);
    let config = load(&issuer(&keys, ""), &[], Vec::new()).expect("no fault");
    let [warning] = &config.known.warnings[..] else { panic!("{:?}", config.known.warnings) };
    assert!(
        warning.contains("https://a.example") && warning.contains("key 1") && !warning.contains("CANARY"),
        "{warning}"
    );
    assert!(faults(&issuer(&keys, "algorithm = \"EdDSA\"")).contains("leave out algorithm"));
}

#[test]
fn an_issuer_that_is_shut_out_and_not_known_is_warned_of() {
    let keys = Temporary::keys("strangers-keys");
    let lines = "jwt:https://a.example#ann\njti:https://a.example/#7\njwt:https://a.example/#ann\njwt:https://a.example/#bob\noidc:https://a.example#ann\ntoken:x\n";
    let revoked = Temporary::new("strangers", lines);
    let file = format!("[access]\nrevoked_file = {:?}\n{}", revoked.path(), issuer(&keys, ""));
    let config = load(&file, &[], Vec::new()).expect("no fault");
    let of = |number: usize, kind: &str| {
        format!("access.revoked_file: {number} of {kind} name an issuer that is not configured, and shut nobody out")
    };
    assert_eq!(config.known.warnings, [of(2, "jwt"), of(1, "jti"), of(1, "oidc")]);
}

#[test]
fn each_file_is_read_again_and_a_faulty_one_keeps_what_it_had_alone() {
    let tokens = Temporary::tokens("again");
    let (keys, revoked) = (Temporary::keys("again-keys"), Temporary::new("again-revoked", ""));
    let file = format!(
        "[access]\ntokens_file = {:?}\nrevoked_file = {:?}\n{}",
        tokens.path(),
        revoked.path(),
        issuer(&keys, "")
    );
    let config = load(&file, &[], Vec::new()).expect("no fault");
    let read = |old: &Known| read_access(&config.raw, old);
    let (known, faults) = read(&config.known);
    assert!(faults.is_empty() && known.tokens == 1 && known.issuers == 1, "{faults}");
    std::fs::write(tokens.path(), "x").expect("writes");
    std::fs::write(keys.path(), "x").expect("writes");
    std::fs::write(revoked.path(), "token:a\n").expect("writes");
    let (known, faults) = read(&known);
    let text = faults.to_string();
    assert!(text.contains("line 1") && text.contains("access.jwt[0].keys_file") && text.contains("4 faults"), "{text}");
    assert_eq!((known.tokens, known.issuers), (1, 1));
    assert!(!known.access.is_empty());
    std::fs::write(revoked.path(), "nobody\n").expect("writes");
    let (known, faults) = read(&known);
    assert!(faults.to_string().contains("5 faults"), "{faults}");
    std::fs::write(tokens.path(), "").expect("writes");
    let (known, faults) = read(&known);
    assert!(faults.to_string().contains("2 faults") && known.tokens == 0, "{faults}");
}

#[test]
fn keys_that_need_a_restart_are_all_but_a_few_of_the_reference() {
    let raw = |file: &str| load(file, &[], Vec::new()).expect("no fault").raw;
    let before = raw("");
    assert_eq!(needs_restart(&before, &before), Vec::<String>::new());
    let tokens = Temporary::tokens("restart");
    let after = raw(&format!(
        "[server]\nreuse_port = true\n[access]\ntokens_file = {:?}\nfailures = 1\n[log]\nlevel = \"debug\"\n",
        tokens.path()
    ));
    assert_eq!(needs_restart(&before, &after), ["access.failures", "server.reuse_port"]);
}

#[test]
fn certificates_of_clients_are_checked_and_know_their_line() {
    let (authority, _) = authority("rules");
    let tls =
        format!("[tls]\nmode = \"self-signed\"\nclient_auth = \"optional\"\nclient_ca_file = {:?}\n", authority.path());
    let rule = "[[access.certificate]]\ndns = \"*.lab\"\nroles = \"device\"\ndevices = \"lab/{*}\"\n";
    let home = [("HOME", "/home/user")];
    let config = load(&format!("{rule}{tls}"), &home, Vec::new()).expect("no fault");
    assert_eq!(config.known.certificates, 1);
    assert!(!config.settings.access.anonymous && !config.settings.access.access.is_empty());
    let text = faults(rule);
    assert!(text.contains("access.certificate: needs tls.client_auth"), "{text}");
    let bad = "[[access.certificate]]\nroles = \"device\"\n\n[[access.certificate]]\ndns = \"a\"\nuri = \"b\"\nroles = \"boss\"\n\
               tenant = \"a b\"\n";
    let text = load(&format!("{bad}{tls}"), &home, Vec::new()).expect_err("faults").to_string();
    for part in [
        "certificate[0]: needs one of dns",
        "line 1)",
        "certificate[1]: needs one",
        "certificate[1].roles",
        "[1].tenant",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let bad = "[[access.certificate]]\ndns = \"a\"\nroles = \"device\"\ndevices = \"{*}\"\n";
    let text = load(&format!("{bad}{tls}"), &home, Vec::new()).expect_err("faults").to_string();
    assert!(text.contains("access.certificate[0].devices: {*} in devices needs") && text.contains("line 4)"), "{text}");
    let bad = "[[access.certificate]]\nuri = \"spiffe://Lab/*\"\nroles = \"observer\"\n";
    let text = load(&format!("{bad}{tls}"), &home, Vec::new()).expect_err("faults").to_string();
    assert!(text.contains("access.certificate[0].uri: names of hosts") && text.contains("line 2)"), "{text}");
    let tls = "[tls]\nmode = \"self-signed\"\nclient_auth = \"optional\"\nclient_ca_file = \"Cargo.toml\"\n";
    let text = load(&format!("{rule}{tls}"), &home, Vec::new()).expect_err("faults").to_string();
    assert!(text.contains("tls.client_ca_file: ") && text.contains("Cargo.toml has no certificate"), "{text}");
    let text = faults("[tls]\nclient_auth = \"required\"\n");
    assert!(text.contains("tls.client_ca_file: is needed") && text.contains("line 1)"), "{text}");
    assert!(faults("[tls]\nclient_auth = \"on\"\n").contains("tls.client_auth: expected"));
    let text = faults("[tls]\nclient_ca_file = \"Cargo.toml\"\nclient_crl_file = \"Cargo.toml\"\n");
    for key in ["tls.client_ca_file", "tls.client_crl_file"] {
        assert!(text.contains(&format!("{key}: needs tls.client_auth")), "{text}");
    }
}

/// T20: what is withdrawn by one file does not wait for the other to be good.
#[test]
fn t20_of_two_files_that_say_who_vouches_the_good_one_counts() {
    let issuer = issuer_of_certificates();
    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(rcgen::SerialNumber::from(7_u64));
    let leaf = params.signed_by(&rcgen::KeyPair::generate().expect("a key"), &issuer).expect("signed");
    let chain = cuttlebone_access::Chain::new([leaf.der().as_ref()]).expect("a chain");
    let (ca, crl) = (Temporary::new("pair-ca", &issuer.pem()), Temporary::new("pair-crl", &list(&issuer, &[])));
    let put = |file: &Temporary, text: &str| std::fs::write(file.path(), text).expect("writes");
    let tls = format!("[tls]\nmode = \"self-signed\"\nclient_auth = \"required\"\nclient_ca_file = {:?}\n", ca.path());
    let text = format!("{tls}client_crl_file = {:?}\n", crl.path());
    let config = load(&text, &[("HOME", "/home/user")], Vec::new()).expect("no fault");
    let vouches = |known: &Known| known.access.vouches_for(&chain, 1_800_000_000);
    assert!(vouches(&config.known));
    let again = |known: &Known| read_access(&config.raw, known);
    put(&ca, "nonsense");
    let (known, faults) = again(&config.known);
    assert!(vouches(&known) && faults.to_string().contains("tls.client_ca_file"), "the old is kept: {faults}");
    put(&crl, &list(&issuer, &[7]));
    let (revoked, _) = again(&known);
    assert!(!vouches(&revoked));
    put(&crl, "nonsense");
    assert!(!vouches(&again(&revoked).0), "the list is kept");
    assert!(vouches(&again(&known).0), "and that of before, where it was");
    put(&ca, &issuer_of_certificates().pem());
    let (another, faults) = again(&known);
    assert!(!vouches(&another) && faults.to_string().contains("tls.client_crl_file"), "{faults}");
}

#[test]
fn file_at_fault_of_those_who_vouch_for_clients_is_told_by_its_key_and_once() {
    let (authority, lists) = authority("vouch");
    let home = [("HOME", "/home/user")];
    let load = |ca: &str, crl: &str| {
        let tls = format!("[tls]\nmode = \"self-signed\"\nclient_auth = \"required\"\nclient_ca_file = {ca:?}\n");
        load(&format!("{tls}client_crl_file = {crl:?}\n"), &home, Vec::new())
    };
    let refused = |ca: &str, crl: &str| load(ca, crl).expect_err("a fault").to_string();
    let config = load(authority.path(), lists.path()).expect("good");
    assert!(config.settings.access.access.needs_certificate(), "it is looked at after the handshake, too");
    for (text, key, part) in [
        (refused(authority.path(), "Cargo.toml"), "tls.client_crl_file: ", "Cargo.toml has no list"),
        (refused("Cargo.toml", lists.path()), "tls.client_ca_file: ", "Cargo.toml has no certificate"),
        (refused(authority.path(), "missing.pem"), "tls.client_crl_file: ", "cannot read missing.pem"),
    ] {
        assert!(text.contains("1 fault:") && text.contains(key) && text.contains(part), "{text}");
    }
    for (open, key) in [(&authority, "tls.client_ca_file: "), (&lists, "tls.client_crl_file: ")] {
        let set = |mode| std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(mode)).expect("is ours");
        set(0o666);
        let text = refused(authority.path(), lists.path());
        set(0o644);
        assert!(text.contains("1 fault:") && text.contains(key) && text.contains("(mode 666)"), "{text}");
    }
}
