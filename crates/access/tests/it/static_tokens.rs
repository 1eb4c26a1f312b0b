//! Tokens that stand in a file.

use cuttlebone_access::{
    Access, Denied, InvalidPrefix, LineFault, NewToken, Prefix, Principal, Role, Settings, StaticTokens, Tenant, Token,
    TokenFault, TokenFields,
};
use cuttlebone_proto::DeviceId;
use std::sync::Arc;

use crate::support::{NOW, token};

const DEVICE: TokenFields<'_> = TokenFields {
    name: "cam-7",
    role: "device",
    devices: Some("lab7/*,x"),
    tenant: None,
    expires: None,
    prefix: None,
    max_clients: None,
};

fn new_token(of: u8) -> NewToken {
    NewToken::from_random(&[of; 32])
}

fn line(of: u8, fields: &TokenFields<'_>) -> String {
    new_token(of).line(fields).expect("a good line") + "\n"
}

fn access(text: &str) -> Access {
    let tokens = StaticTokens::parse(text).expect("a good file");
    Access::new(Settings { tokens: Some(tokens), ..Settings::default() })
}

fn present(access: &Access, of: u8, now: u64) -> Result<Arc<Principal>, Denied> {
    access.authenticate(&token(new_token(of).secret()), now)
}

/// The faults of a file.
fn faults(text: &str) -> Vec<(usize, TokenFault)> {
    let faults = StaticTokens::parse(text).expect_err("faults");
    faults.into_iter().map(|LineFault { line, fault }| (line, fault)).collect()
}

#[test]
fn new_token_is_32_random_bytes_and_its_line_has_only_a_hash() {
    let new = NewToken::from_random(&std::array::from_fn(|at| u8::try_from(at).expect("small")));
    assert_eq!(new.secret(), "cbt_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let fields = TokenFields { role: "device,client", tenant: Some("lab"), expires: Some("2027-01-31"), ..DEVICE };
    // echo -n cbt_AAEC… | sha256sum
    let hash = "5a3687155453468201c14e415186b7365cc98923f7db680c267754f8068006c2";
    let expected =
        format!("sha256:{hash} name=cam-7 role=device,client devices=lab7/*,x tenant=lab expires=2027-01-31");
    assert_eq!(new.line(&fields), Ok(expected));
    assert_eq!(format!("{new:?}"), "***");
}

#[test]
fn holder_of_a_token_is_who_its_line_says() {
    let fields = TokenFields { tenant: Some("lab"), expires: Some("2027-01-31T12:00:00Z"), ..DEVICE };
    let access = access(&format!("# cameras\n\n  {}", line(1, &fields)));
    let principal = present(&access, 1, NOW).expect("good");
    assert_eq!((principal.identity(), principal.name()), ("token:cam-7", "cam-7"));
    assert_eq!(principal.tenant().map(Tenant::as_str), Some("lab"));
    assert_eq!(principal.expires_at(), Some(1_801_396_800));
    assert!(principal.has(Role::Device) && !principal.has(Role::Client));
    let id = |text| DeviceId::new(text).expect("an id");
    assert!(principal.may_register(&id("lab7/cvd-1")) && principal.may_register(&id("x")));
    assert!(!principal.may_register(&id("lab8/cvd-1")) && !principal.may_connect(&id("x")));
}

#[test]
fn who_administers_or_observes_means_every_device_where_nothing_is_said() {
    for (role, all) in [("admin", true), ("observer", true), ("observer,admin", true)] {
        let access = access(&line(1, &TokenFields { role, devices: None, ..DEVICE }));
        assert_eq!(present(&access, 1, NOW).expect("good").sees_all(), all, "{role}");
    }
    for role in ["device", "client", "admin,client"] {
        let fields = TokenFields { role, devices: None, ..DEVICE };
        assert_eq!(new_token(1).line(&fields), Err(vec![TokenFault::NoDevices]), "{role}");
    }
}

#[test]
fn token_is_good_until_its_expiry_and_not_a_second_longer() {
    let access = access(&line(1, &TokenFields { expires: Some("2027-01-31"), ..DEVICE }));
    assert!(present(&access, 1, 1_801_353_599).is_ok());
    assert_eq!(present(&access, 1, 1_801_353_600), Err(Denied::Expired));
}

#[test]
fn other_tokens_are_unknown() {
    let access = access(&line(1, &DEVICE));
    assert!(present(&access, 1, NOW).is_ok());
    assert_eq!(present(&access, 2, NOW), Err(Denied::Unknown));
    let good = new_token(1).secret().to_owned();
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        assert_eq!(access.authenticate(&token(&changed), NOW), Err(Denied::Unknown), "{changed}");
    }
    for other in [&good[1..], &good[..46], &format!("{good}A"), &good.to_uppercase()] {
        assert_eq!(access.authenticate(&token(other), NOW), Err(Denied::Unknown), "{other}");
    }
}

/// A word that somebody made up is no token, also if its hash stands in the file.
#[test]
fn only_random_tokens_are_looked_up() {
    // echo -n hunter2 | sha256sum
    let text = "sha256:f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7 name=a role=admin";
    assert_eq!(access(text).authenticate(&token("hunter2"), NOW), Err(Denied::Unknown));
}

#[test]
fn all_faults_come_at_once_each_with_its_line() {
    let hash = |of: u8| line(of, &DEVICE).split(' ').next().expect("a hash").to_owned();
    let text = [
        line(1, &DEVICE),
        "# a comment\n".into(),
        line(1, &TokenFields { name: "other", ..DEVICE }),
        line(2, &DEVICE),
        "\n".into(),
        format!("{} role=device devices=x color=red name\n", hash(3)),
        format!("{} name=a/b role=root devices= tenant= expires=tomorrow name=b\n", hash(4)),
        format!("{} name=c role=device,client\n", hash(5)),
        "sha256:00 name=d\n".into(),
        format!("{} name=e role=device devices={}\n", hash(6), vec!["x"; 65].join(",")),
    ];
    let name = "a/b".parse::<Tenant>().expect_err("no name");
    let role = "root".parse::<Role>().expect_err("no role");
    let empty = "".parse::<cuttlebone_access::Pattern>().expect_err("no pattern");
    let many = cuttlebone_access::Patterns::new(vec!["x"; 65]).expect_err("too many");
    let expected = [
        (3, TokenFault::SameToken(1)),
        (4, TokenFault::SameName(1)),
        (6, TokenFault::UnknownKey),
        (6, TokenFault::Word),
        (6, TokenFault::Missing("name")),
        (7, TokenFault::Twice("name")),
        (7, TokenFault::Role(role)),
        (7, TokenFault::Devices(empty)),
        (7, TokenFault::Tenant(name)),
        (7, TokenFault::Expires),
        (8, TokenFault::NoDevices),
        (9, TokenFault::Hash),
        (9, TokenFault::Missing("role")),
        (10, TokenFault::Devices(many)),
    ];
    assert_eq!(faults(&text.concat()), expected);
}

#[test]
fn token_in_the_file_is_a_fault_that_does_not_repeat_it() {
    let secret = new_token(1).secret().to_owned();
    for text in [secret.clone(), format!("sha256:{secret} name=a role=admin"), format!("name=a token={secret}")] {
        let found = StaticTokens::parse(&text).expect_err("a secret");
        assert_eq!(found, [LineFault { line: 1, fault: TokenFault::Secret }], "{text}");
        assert!(!format!("{found:?} {}", found[0]).contains(&secret[..12]));
    }
}

#[test]
fn hash_has_64_hexadecimal_digits_of_either_case() {
    let good = line(1, &DEVICE);
    let (hash, rest) = good.split_once(' ').expect("words");
    let upper = format!("sha256:{} {rest}", hash["sha256:".len()..].to_uppercase());
    assert!(present(&access(&upper), 1, NOW).is_ok());
    for bad in
        [&hash[..70], &format!("{hash}0"), &hash[7..], &hash.replace("sha256", "sha512"), "sha256:", "sha256:\u{e9}"]
    {
        assert_eq!(faults(&format!("{bad} {rest}")), [(1, TokenFault::Hash)], "{bad}");
    }
}

#[test]
fn line_is_never_written_that_would_say_something_else() {
    for fields in [
        TokenFields { name: "a role=admin", ..DEVICE },
        TokenFields { devices: Some("x\nsha256:00"), ..DEVICE },
        TokenFields { tenant: Some("a\u{a0}b"), ..DEVICE },
    ] {
        assert_eq!(new_token(1).line(&fields), Err(vec![TokenFault::Word]), "{fields:?}");
    }
    let nothing = TokenFields::default();
    assert_eq!(new_token(1).line(&nothing).expect_err("faults").len(), 2);
    for of in 0..=255 {
        assert_eq!(StaticTokens::parse(&line(of, &DEVICE)).expect("good").len(), 1);
    }
}

#[test]
fn prefix_number_of_clients_and_every_tenant_are_read_and_are_what_they_can_be() {
    let with = |more: &str| {
        let line = line(1, &TokenFields { role: "admin", devices: None, ..DEVICE });
        format!("{} {more}", line.trim_end())
    };
    let fields = TokenFields { prefix: Some("lab7/"), max_clients: Some("3"), ..DEVICE };
    let principal = present(&access(&line(1, &fields)), 1, NOW).expect("good");
    assert_eq!((principal.prefix().map(Prefix::as_str), principal.max_clients()), (Some("lab7/"), Some(3)));
    assert!(!principal.is_operator());
    let operator = present(&access(&with("tenant=*")), 1, NOW).expect("good");
    assert!(operator.is_operator() && operator.tenant().is_none());
    for bad in ["0", "-1", "+1", "", "x", "4294967296"] {
        assert_eq!(faults(&with(&format!("max_clients={bad}"))), [(1, TokenFault::MaxClients)], "{bad}");
    }
    assert_eq!(faults(&with("prefix=")), [(1, TokenFault::Prefix(InvalidPrefix))]);
    for role in ["device", "client", "admin,client"] {
        let text = format!("{} tenant=*", line(1, &TokenFields { role, ..DEVICE }).trim_end());
        assert_eq!(faults(&text), [(1, TokenFault::Operator)], "{role}");
    }
}

#[test]
fn number_of_lines_is_bounded() {
    let comments = "#\n".repeat(StaticTokens::MOST_LINES);
    assert!(StaticTokens::parse(&comments).expect("good").is_empty());
    let text = format!("{comments}{}{}", line(1, &DEVICE), line(2, &DEVICE));
    assert_eq!(faults(&text), [(100_001, TokenFault::TooManyLines(100_000))]);
}

#[test]
fn token_of_this_kind_is_unknown_where_no_file_is() {
    let access = Access::new(Settings::default());
    assert!(access.is_empty());
    assert_eq!(present(&access, 1, NOW), Err(Denied::Unknown));
    assert!(!self::access("").is_empty(), "an empty file is a file");
    assert!(Token::new(new_token(1).secret()).is_some());
}

#[test]
fn token_that_is_typed_in_has_the_hash_of_its_line() {
    let new = new_token(7);
    let line = new.line(&TokenFields { name: "a", role: "admin", ..TokenFields::default() }).expect("a good line");
    let typed = NewToken::parse(new.secret()).expect("a token");
    assert_eq!(line.split(' ').next(), Some(typed.hash().as_str()));
    for bad in ["", "cbt_", "secret", &new.secret()[..46], &format!("{} ", new.secret())] {
        assert!(NewToken::parse(bad).is_none(), "{bad:?}");
    }
}
