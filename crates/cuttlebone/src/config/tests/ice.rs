//! `[ice]`: its faults, their lines, and that no secret is shown.

use std::os::unix::fs::PermissionsExt;

use super::access::Temporary;
use super::*;

const GOOD: &str = "0123456789abcdef0123456789abcdef";

fn server(rest: &str) -> String {
    format!("[[ice.servers]]\nurls = [\"turn:t\"]\n{rest}\n")
}

#[test]
fn secrets_may_come_from_a_file_that_is_the_owners_alone() {
    let file = Temporary::new("ice-secrets", &format!("{GOOD}\n\n# {GOOD}1\n{GOOD}2\n"));
    let config = load(&server(&format!("secrets_file = {:?}", file.path())), &[], Vec::new()).expect("no fault");
    let inline = format!("secrets = [\"{GOOD}\", \"{GOOD}2\"]");
    let same = load(&server(&inline), &[], Vec::new()).expect("no fault");
    assert_eq!(config.settings.ice, same.settings.ice);
    assert_eq!(config.settings.ice.servers[0].secrets.len(), 2);
    let turned = format!("secrets = [\"{GOOD}2\", \"{GOOD}\"]");
    let turned = load(&server(&turned), &[], Vec::new()).expect("no fault");
    assert_ne!(turned.settings.ice, same.settings.ice, "the first makes the credentials");
    let open = Temporary::new("ice-open", GOOD);
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o644)).expect("is ours");
    let text = faults(&server(&format!("secrets_file = {:?}", open.path())));
    assert!(text.contains("ice.servers[0].secrets_file") && text.contains("chmod go="), "{text}");
    assert!(text.contains("has 1 fault"), "{text}");
}

#[test]
fn every_fault_has_its_key_and_line_and_no_secret() {
    let file = Temporary::new("ice-short", &format!("{GOOD}\nCANARY\n"));
    let text = faults(&format!(
        "[ice]\nttl_ms = 1000\nprivacy = \"none\"\n\n\
         [[ice.servers]]\nurls = [\"turn:t\"]\nsecrets = [\"{GOOD}\", \"CANARY\"]\n\n\
         [[ice.servers]]\nurls = [\"turn:t\"]\nsecrets_file = {:?}\n\n\
         [[ice.servers]]\nurls = [\"stun:s\"]\nregions = [\"moon\"]\n\n\
         [[ice.providers]]\nurl = \"http://turn.example/\"\nbody = \"xml\"\nsecret = \"CANARY\"\n\n\
         [[ice.providers]]\nurl = \"https://turn.example/\"\nbody = \"form\"\n\n\
         [[ice.regions]]\nname = \"eu\"\nnetworks = [\"192.0.2.1/24\"]\n",
        file.path()
    ));
    for part in [
        "ice.ttl_ms: must be 300000 to 86400000, is 1000 (test.toml, line 2)",
        "ice.privacy: expected \"all\" or \"relay-only\" (test.toml, line 3)",
        "ice.servers[0].secrets[1]: a secret has at least 32 bytes",
        "(test.toml, line 7)",
        "a secret has at least 32 bytes, such as `openssl rand -hex 32` gives (/",
        "ice.servers[2].regions: \"moon\" is no region",
        "(test.toml, line 15)",
        "ice.providers[0].url: http://turn.example is not asked: it is not https (test.toml, line 18)",
        "ice.providers[0].body: expected \"json\"",
        "ice.providers[1].secret: needs the token",
        "ice.regions[0].networks[0]: expected a network such as",
        "(test.toml, line 28)",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("CANARY"), "{text}");
}

/// Nobody, or everybody?
#[test]
fn empty_list_of_whom_a_server_is_for_is_a_fault() {
    let provider = "[[ice.providers]]\nurl = \"https://a/\"\nbody = \"json\"\nsecret = \"s\"\n";
    for name in ["tenants", "regions"] {
        for (of, file) in
            [("servers", server(&format!("{name} = []"))), ("providers", format!("{provider}{name} = []"))]
        {
            let text = faults(&file);
            assert!(text.contains(&format!("ice.{of}[0].{name}: is empty: leave it out for all {name}")), "{text}");
        }
    }
}

#[test]
fn relay_only_without_a_relay_is_a_fault() {
    let text = faults("[ice]\nprivacy = \"relay-only\"\n");
    assert!(
        text.contains("ice.privacy: \"relay-only\" needs a turn: server or a provider (test.toml, line 2)"),
        "{text}"
    );
}

#[test]
fn secret_of_the_wrong_kind_is_not_shown() {
    for rest in ["secrets = \"CANARY\"", "secrets = [1, \"CANARY\"]", "secrets = [[\"CANARY\"]]"] {
        let text = faults(&server(rest));
        assert!(!text.contains("CANARY") && text.contains("in quotes"), "{text}");
    }
    let text = faults("[[ice.providers]]\nurl = \"https://a/\"\nbody = \"json\"\nsecret = [\"CANARY\"]\n");
    assert!(!text.contains("CANARY") && text.contains("ice.providers[0].secret: expected a text"), "{text}");
}

#[test]
fn secrets_are_neither_printed_nor_formatted() {
    let file = format!(
        "{}\n[[ice.providers]]\nurl = \"https://turn.example/\"\nbody = \"json\"\nsecret = \"CANARY\"\n",
        server(&format!("secrets = [\"CANARY{GOOD}\"]"))
    );
    let config = load(&file, &[], Vec::new()).expect("no fault");
    let printed = toml::to_string(&config.raw).expect("TOML");
    assert!(printed.contains("secrets = [\"***\"]") && printed.contains("secret = \"***\""), "{printed}");
    assert!(!printed.contains("CANARY") && !shown(&config).contains("CANARY"));
    assert!(!format!("{:?}", config.raw).contains("CANARY"));
}

#[test]
fn secret_and_its_file_are_not_given_both() {
    let text = faults(&server(&format!("secrets = [\"{GOOD}\"]\nsecrets_file = \"x\"")));
    assert!(text.contains("ice.servers[0].secrets_file: give secrets or secrets_file, not both"), "{text}");
    let text = faults(&server(&format!("secrets = [\"{GOOD}\"]\nusername = \"u\"")));
    assert!(text.contains("ice.servers[0].secrets: give secrets, or username and credential, not both"), "{text}");
    let text =
        faults("[[ice.providers]]\nurl = \"https://a/\"\nbody = \"json\"\nsecret = \"x\"\nsecret_file = \"x\"\n");
    assert!(text.contains("ice.providers[0].secret_file: give secret or secret_file"), "{text}");
}
