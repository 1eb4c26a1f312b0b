//! `[oidc]`

use super::*;

/// What the other keys need.
pub(super) const BASE: [(&str, &str); 3] = [
    ("CUTTLEBONE__OIDC__ISSUER", "https://login.example"),
    ("CUTTLEBONE__OIDC__CLIENT_ID", "cuttlebone"),
    ("CUTTLEBONE__OIDC__PUBLIC_URL", "https://devices.example"),
];

/// Values that are others than the defaults, where adding to those makes none.
pub(super) const WORDS: [(&str, &str); 13] = [
    ("oidc.issuer", "https://other.example"),
    ("oidc.client_id", "other"),
    ("oidc.client_secret", "a secret"),
    ("oidc.public_url", "https://other.example"),
    ("oidc.name", "Other"),
    ("oidc.scopes", "[\"groups\"]"),
    ("oidc.roles_claim", "groups"),
    ("oidc.devices_claim", "ids"),
    ("oidc.devices", "[\"*\"]"),
    ("oidc.tenant_claim", "org"),
    ("oidc.tenant", "lab7"),
    ("oidc.session_key", "kQ9zX2mV5bN8cR1tY4uW6pL07f3kQ9zX"),
    ("oidc.roles", "{lab-admins = \"admin\"}"),
];

fn file(lines: &str) -> String {
    format!(
        "[oidc]\nissuer = \"https://login.example\"\nclient_id = \"c\"\npublic_url = \"https://devices.example\"\n{lines}\n"
    )
}

/// An account that is a guest at one provider may have the name of an administrator of the other.
#[test]
fn what_is_said_of_another_provider_is_not_said_of_the_one_of_the_start() {
    let raw = |text: &str| load(text, &[], Vec::new()).expect("no fault").raw;
    let roles = |role: &str| format!("roles_claim = \"groups\"\nroles = {{ staff = \"{role}\" }}");
    let started = raw(&file(&roles("client")));
    let other = file(&roles("admin")).replace("login.example", "other.example");
    for another in ["", &other, &file(&roles("admin")).replace("\"c\"", "\"d\"")] {
        let mut now = raw(another);
        assert!(keep_provider(&started, &mut now), "{another}");
        assert_eq!(toml::to_string(&now.oidc), toml::to_string(&started.oidc), "{another}");
    }
    let mut now = raw(&file(&roles("observer")));
    assert!(!keep_provider(&started, &mut now), "the same provider, whose claims mean something else");
    assert_eq!(now.oidc.roles["staff"], "observer");
}

#[test]
fn provider_alone_says_that_not_everybody_is_served() {
    let config = load(&file(""), &[], Vec::new()).expect("no fault");
    assert!(!config.settings.access.anonymous && config.known.sessions.is_some());
    assert!(load("", &[], Vec::new()).expect("no fault").known.sessions.is_none());
}

#[test]
fn names_of_others_stand_for_roles() {
    let config = load(&file("[oidc.roles]\n\"lab admins\" = \"client, admin\""), &[], Vec::new()).expect("no fault");
    let shown = format!("{:?}", config.known.sessions);
    assert!(shown.contains("lab admins") && shown.contains("client") && shown.contains("admin"), "{shown}");
    let text = faults(&file("[oidc.roles]\nx = \"boss\"\ny = \"client\"\nz = \"\""));
    assert!(text.contains("oidc.roles.x: the roles are ") && text.contains("line 6)"), "{text}");
    assert!(text.contains("oidc.roles.z: ") && !text.contains("oidc.roles.y"), "{text}");
    let keys = access::Temporary::keys("oidc");
    let jwt = |line: &str| format!("[[access.jwt]]\nissuer = \"a\"\nkeys_file = {:?}\n{line}\n", keys.path());
    assert!(load(&jwt("roles = { ops = \"observer\" }\ndevices = [\"*\"]"), &[], Vec::new()).is_ok());
    let text = faults(&jwt("roles = { ops = \"boss\" }\ndevices = [\"\"]"));
    assert!(text.contains("access.jwt[0].roles.ops: ") && text.contains("access.jwt[0].devices: "), "{text}");
}

#[test]
fn faults_have_key_and_line_and_come_all_at_once() {
    for (lines, key) in [
        ("name = \"\"", "oidc.name"),
        ("scopes = [\"a b\"]", "oidc.scopes"),
        ("session_ms = 0", "oidc.session_ms"),
        ("attempt_ms = 0", "oidc.attempt_ms"),
        ("metadata_ms = 0", "oidc.metadata_ms"),
        ("exchanges = 0", "oidc.exchanges"),
        ("devices = [\"\"]", "oidc.devices"),
        ("tenant = \"a b\"", "oidc.tenant"),
        ("session_key = \"short\"", "oidc.session_key"),
        ("session_key_file = \"missing\"", "oidc.session_key_file"),
        ("client_secret_file = \"missing\"", "oidc.client_secret_file"),
        ("client_secret = \"a\"\nclient_secret_file = \"b\"", "oidc.client_secret_file"),
        ("roles_claim = \"\"", "oidc"),
    ] {
        let text = faults(&file(lines));
        assert!(text.contains(&format!("{key}: ")) && text.contains("line ") && text.contains("has 1 fault"), "{text}");
    }
    let text = faults("[oidc]\nissuer = \"http://login.example\"\npublic_url = \"http://devices.example\"\n");
    for key in ["oidc.issuer: ", "oidc.public_url: ", "oidc.client_id: "] {
        assert!(text.contains(key), "{key} is not in:\n{text}");
    }
    let text = faults("[oidc]\nclient_id = \"c\"\n");
    assert!(text.contains("oidc.issuer: is needed"), "{text}");
}

#[test]
fn private_provider_is_asked_only_where_that_is_allowed() {
    let file = "[oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"c\"\npublic_url = \"http://localhost:2\"\n";
    assert!(faults(file).contains("fetch.allow_private"));
    assert!(load(&format!("{file}[fetch]\nallow_private = true\n"), &[], Vec::new()).is_ok());
}

#[test]
fn keys_of_ours_are_not_such_as_can_be_guessed() {
    let comment = access::Temporary::new("oidc-comment", "# made with openssl rand -base64 32\nkQ9zX2mV5bN8cR1tY4u\n");
    let [changeme, same] = ["changeme".repeat(4), "a".repeat(32)];
    for (name, value) in [("", &changeme), ("", &same), ("_file", &comment.path().to_owned())] {
        let text = faults(&file(&format!("session_key{name} = {value:?}\n[clients]\nresume_key{name} = {value:?}")));
        for key in ["oidc.session_key", "clients.resume_key"] {
            assert!(
                text.contains(&format!("{key}{name}: can be guessed")) && !text.contains("openssl rand -base64 32\n"),
                "{text}"
            );
        }
    }
}

#[test]
fn secrets_of_the_provider_are_in_no_message() {
    for lines in ["client_secret = 31337", "session_key = 31337", "session_key = \"31337\""] {
        let text = faults(&file(lines));
        assert!(!text.contains("31337"), "{text}");
    }
    let lines = "client_secret = \"CANARY\"\nsession_key = \"CANARY-kQ9zX2mV5bN8cR1tY4uW6pL07f3k\"";
    let config = load(&file(lines), &[], Vec::new()).expect("no fault");
    let shown = format!("{} {:?} {}", shown(&config), config.raw, toml::to_string(&config.raw).expect("TOML"));
    assert!(!shown.contains("CANARY"), "{shown}");
}

#[test]
fn what_claims_mean_is_read_again_and_the_rest_needs_a_restart() {
    let raw = |lines: &str| load(&file(lines), &[], Vec::new()).expect("no fault").raw;
    let after = raw("roles_claim = \"groups\"\nroles = { a = \"admin\" }\nname = \"Other\"\ndevices = [\"*\"]");
    assert_eq!(needs_restart(&raw(""), &after), ["oidc.name"]);
}

#[test]
fn secrets_come_from_files_that_are_nobody_elses() {
    use std::os::unix::fs::PermissionsExt as _;
    let secret = access::Temporary::new("oidc-secret", "CANARY-kQ9zX2mV5bN8cR1tY4uW6pL07f3k\nmore\n");
    let lines = format!("client_secret_file = {:?}\nsession_key_file = {:?}", secret.path(), secret.path());
    let config = load(&file(&lines), &[], Vec::new()).expect("no fault");
    let login = config.settings.access.login.expect("there is one");
    assert!(login.client_secret.is_some() && login.key.is_some());
    std::fs::set_permissions(secret.path(), std::fs::Permissions::from_mode(0o644)).expect("is ours");
    let text = faults(&file(&lines));
    assert!(text.contains("oidc.client_secret_file: ") && text.contains("oidc.session_key_file: "), "{text}");
    assert!(text.contains("chmod go= ") && !text.contains("CANARY"), "{text}");
}
