//! What becomes of those who are there when the settings change.

use cuttlebone_access::{
    Access, Denied, IssuerSettings, Jwt, KeySet, NewToken, Principal, Revoked, Settings, StaticTokens, TenantFrom,
    Token, TokenFields,
};
use serde_json::json;
use std::sync::Arc;

use crate::support::{ISSUER, NOW, SECRET, Signer, token};

const FIELDS: TokenFields<'_> = TokenFields {
    name: "cam-7",
    role: "device",
    devices: Some("x"),
    tenant: None,
    expires: None,
    prefix: None,
    max_clients: None,
};

fn file(of: u8, fields: &TokenFields<'_>) -> String {
    NewToken::from_random(&[of; 32]).line(fields).expect("a good line") + "\n"
}

fn settings(text: &str) -> Settings {
    Settings { tokens: Some(StaticTokens::parse(text).expect("a good file")), ..Settings::default() }
}

fn jwt(rules: IssuerSettings, keys: KeySet) -> Settings {
    Settings { jwt: Some(Jwt::new(vec![(rules, keys)]).expect("good")), ..Settings::default() }
}

fn of(settings: Settings, token: &Token) -> Arc<Principal> {
    Access::new(settings).authenticate(token, NOW).expect("good")
}

fn is_still_good(settings: Settings, principal: &Principal) -> bool {
    Access::new(settings).is_still_good(principal)
}

/// T20: a token whose line is gone, or says something else, is good no longer.
#[test]
fn t20_static_token_is_still_good_while_its_line_says_the_same() {
    let secret = token(NewToken::from_random(&[1; 32]).secret());
    let principal = of(settings(&file(1, &FIELDS)), &secret);
    let more = file(1, &FIELDS) + &file(2, &TokenFields { name: "cam-8", ..FIELDS });
    assert!(is_still_good(settings(&file(1, &FIELDS)), &principal));
    assert!(is_still_good(settings(&more), &principal));
    for changed in [
        TokenFields { name: "cam-8", ..FIELDS },
        TokenFields { role: "client", ..FIELDS },
        TokenFields { devices: Some("x,y"), ..FIELDS },
        TokenFields { tenant: Some("lab"), ..FIELDS },
        TokenFields { prefix: Some("lab7/"), ..FIELDS },
        TokenFields { max_clients: Some("3"), ..FIELDS },
        TokenFields { expires: Some("2030-01-01"), ..FIELDS },
    ] {
        assert!(!is_still_good(settings(&file(1, &changed)), &principal), "{changed:?}");
    }
    assert!(!is_still_good(settings(&file(2, &FIELDS)), &principal), "another token of the same name");
    assert!(!is_still_good(settings(""), &principal));
    assert!(!is_still_good(Settings::default(), &principal));
}

/// T20, T38: a signed token is good while its key is there, for the same algorithm, and its claims are read in the same way.
#[test]
fn t20_signed_token_is_still_good_while_its_key_and_its_rules_are_there() {
    let (signer, other) = (Signer::p256(), Signer::p256());
    let rules = || IssuerSettings::new(ISSUER);
    let principal = of(jwt(rules(), signer.keys()), &signer.usual_token());
    assert!(is_still_good(jwt(rules(), signer.keys()), &principal));
    assert!(is_still_good(jwt(rules(), other.keys().and(signer.keys()).expect("keys")), &principal));
    assert!(!is_still_good(jwt(rules(), other.keys()), &principal));
    assert!(!is_still_good(Settings::default(), &principal));
    for changed in [
        IssuerSettings { issuer: "https://other.example".into(), ..rules() },
        IssuerSettings { audiences: vec!["cuttlebone".into()], ..rules() },
        IssuerSettings { leeway: 0, ..rules() },
        IssuerSettings { max_age: Some(60), ..rules() },
        IssuerSettings { roles_claim: "roles".into(), ..rules() },
        IssuerSettings { devices_claim: "devices".into(), ..rules() },
        IssuerSettings { tenant: TenantFrom::Fixed("lab".parse().expect("a tenant")), ..rules() },
    ] {
        assert!(!is_still_good(jwt(changed.clone(), signer.keys()), &principal), "{changed:?}");
    }
}

#[test]
fn key_that_is_for_another_algorithm_now_is_another_key() {
    let signer = Signer::rsa("RS256");
    let rules = || IssuerSettings::new(ISSUER);
    let principal = of(jwt(rules(), signer.keys()), &signer.usual_token());
    let narrower = KeySet::from_pem(&signer.pem, "RS512".parse().ok()).expect("keys");
    assert!(!is_still_good(jwt(rules(), narrower), &principal));
}

/// T20: who is revoked is not let in, however often he was before.
#[test]
fn t20_revoked_is_who_is_named_or_whose_token_is() {
    let signer = Signer::shared(SECRET);
    let settings = || jwt(IssuerSettings::new(ISSUER), signer.keys());
    let one = signer.token(json!({}), json!({"jti": "4711"}));
    let two = signer.token(json!({}), json!({"jti": "4712"}));
    let principals = [of(settings(), &one), of(settings(), &two)];
    for (text, revoked) in [
        ("", [false, false]),
        ("jwt:https://idp.example#alice", [true, true]),
        ("jti:https://idp.example#4711", [true, false]),
        ("jwt:https://idp.example#bob\njwt:https://other.example#alice", [false, false]),
        ("jti:https://other.example#4711\ntoken:alice", [false, false]),
    ] {
        let access = Access::new(Settings { revoked: Revoked::parse(text).expect("a good file"), ..settings() });
        for ((token, principal), revoked) in [&one, &two].into_iter().zip(&principals).zip(revoked) {
            let expected = if revoked { Err(Denied::Revoked) } else { Ok(()) };
            assert_eq!(access.authenticate(token, NOW).map(|_| ()), expected, "{text}");
            assert_eq!(access.authenticate(token, NOW).map(|_| ()), expected, "{text}, again");
            assert_eq!(access.is_still_good(principal), !revoked, "{text}");
        }
    }
}

#[test]
fn t20_static_token_is_revoked_by_its_name() {
    let secret = token(NewToken::from_random(&[1; 32]).secret());
    let principal = of(settings(&file(1, &FIELDS)), &secret);
    let revoked = Revoked::parse("token:cam-7").expect("a good file");
    let access = Access::new(Settings { revoked, ..settings(&file(1, &FIELDS)) });
    assert_eq!(access.authenticate(&secret, NOW), Err(Denied::Revoked));
    assert!(!access.is_still_good(&principal));
}

/// Somebody of one kind is never taken for somebody of another, or of another issuer.
#[test]
fn identities_of_different_kinds_and_issuers_differ() {
    let signer = Signer::shared(SECRET);
    let both = vec![(IssuerSettings::new("a"), signer.keys()), (IssuerSettings::new("a:b"), signer.keys())];
    let access = Access::new(Settings { jwt: Some(Jwt::new(both).expect("good")), ..settings(&file(1, &FIELDS)) });
    let identity = |token: &Token| access.authenticate(token, NOW).expect("good").identity().to_owned();
    let mut identities = vec![identity(&token(NewToken::from_random(&[1; 32]).secret()))];
    for (iss, sub) in [("a", "cam-7"), ("a", "b#cam-7"), ("a:b", "cam-7"), ("a:b", "#cam-7"), ("a", "token:cam-7")] {
        identities.push(identity(&signer.token(json!({}), json!({"iss": iss, "sub": sub}))));
    }
    let number = identities.len();
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), number, "{identities:?}");
}
