//! Those who have signed in at a provider.

use cuttlebone_access::{
    Access, Denied, IssuerSettings, NewSession, Patterns, Revoked, Role, Roles, SessionKey, Sessions, Settings, Token,
};
use serde_json::{Value, json};

use crate::support::{ISSUER, NOW, SECRET, base64url, from_base64url, merged, token};

const END: u64 = NOW + 3600;

fn key() -> SessionKey {
    SessionKey::new(SECRET).expect("long enough")
}

fn rules() -> IssuerSettings {
    IssuerSettings { audiences: vec!["cuttlebone".into()], ..IssuerSettings::new(ISSUER) }
}

fn settings(rules: IssuerSettings) -> Settings {
    Settings { sessions: Some(Sessions::new(rules).expect("good")), ..Settings::default() }
}

fn access() -> Access {
    Access::new(settings(rules()))
}

fn open_at(access: &Access, changes: Value) -> Result<NewSession, Denied> {
    let claims = merged(
        json!({"iss": ISSUER, "aud": "cuttlebone", "sub": "4711", "exp": NOW, "cuttlebone_roles": "client", "cuttlebone_devices": "lab7/*"}),
        changes,
    );
    access.open_session(&key(), claims.as_object().expect("an object"), END)
}

fn open(changes: Value) -> NewSession {
    open_at(&access(), changes).expect("signed in")
}

fn cookie(session: &NewSession) -> Token {
    token(&session.token)
}

#[test]
fn session_gives_what_the_claims_gave_until_it_ends() {
    let session = open(json!({"preferred_username": "alice", "cuttlebone_tenant": "lab"}));
    let access = access();
    let principal = access.authenticate_cookie(&key(), &cookie(&session), NOW).expect("good");
    assert_eq!(principal, session.principal);
    assert_eq!((principal.identity(), principal.name()), ("oidc:https://idp.example#4711", "4711"));
    assert_eq!(principal.shown_name(), Some("alice"));
    assert_eq!(principal.tenant().map(ToString::to_string).as_deref(), Some("lab"));
    assert!(principal.has(Role::Client) && !principal.has(Role::Admin));
    assert_eq!(principal.expires_at(), Some(END));
    assert!(access.is_still_good(&principal) && !principal.is_over(END - 1) && principal.is_over(END));
    assert_eq!(access.authenticate_cookie(&key(), &cookie(&session), END), Err(Denied::Expired));
}

/// What a page can't read, nobody presents in any other way: it is no bearer token.
#[test]
fn session_is_good_as_a_cookie_only() {
    let session = open(json!({}));
    assert_eq!(access().authenticate(&cookie(&session), NOW), Err(Denied::Unknown));
}

#[test]
fn session_that_was_changed_or_is_of_another_key_or_other_rules_is_nobodys() {
    let session = open(json!({}));
    let text = session.token.as_str();
    let (content, tag) = text.strip_prefix("cbs_").and_then(|rest| rest.split_once('.')).expect("two parts");
    let mut claims: Value = serde_json::from_slice(&from_base64url(content)).expect("JSON");
    claims["roles"] = json!(["admin"]);
    let admin = base64url(claims.to_string().as_bytes());
    for (changed, expected) in [
        (format!("cbs_{admin}.{tag}"), Denied::Signature),
        (format!("cbs_{content}."), Denied::Signature),
        (format!("cbs_{content}.{}", base64url(&[0; 32])), Denied::Signature),
        (format!("cbs_{content}"), Denied::Malformed),
        (format!("cbs_{content}.{tag}="), Denied::Malformed),
        (format!("cbs_{content}.{tag}.{tag}"), Denied::Malformed),
        ("cbs_".to_owned(), Denied::Malformed),
        (format!("{content}.{tag}"), Denied::Unknown),
    ] {
        assert_eq!(access().authenticate_cookie(&key(), &token(&changed), NOW), Err(expected), "{changed}");
    }
    let other = SessionKey::new(&[7; 32]).expect("long enough");
    assert_eq!(access().authenticate_cookie(&other, &cookie(&session), NOW), Err(Denied::Signature));
    assert_eq!(
        Access::new(Settings::default()).authenticate_cookie(&key(), &cookie(&session), NOW),
        Err(Denied::Unknown)
    );
}

/// T20: what claims mean was decided when the session began; where they mean something else now, it is over.
#[test]
fn t20_session_is_still_good_while_its_rules_are_the_same() {
    let session = open(json!({}));
    for (changed, good) in [
        (rules(), true),
        (IssuerSettings { issuer: "https://other.example".into(), ..rules() }, false),
        (IssuerSettings { audiences: vec!["other".into()], ..rules() }, false),
        (IssuerSettings { roles_claim: "groups".into(), ..rules() }, false),
        (IssuerSettings { role_names: [("x".to_owned(), Roles::NONE.with(Role::Client))].into(), ..rules() }, false),
        (IssuerSettings { devices: Some(Patterns::all()), ..rules() }, false),
    ] {
        let access = Access::new(settings(changed.clone()));
        assert_eq!(access.is_still_good(&session.principal), good, "{changed:?}");
        assert_eq!(access.authenticate_cookie(&key(), &cookie(&session), NOW).is_ok(), good, "{changed:?}");
    }
    assert!(!Access::new(Settings::default()).is_still_good(&session.principal));
}

#[test]
fn t20_revoked_account_does_not_sign_in_and_is_out_at_once() {
    let session = open(json!({}));
    let revoked = Revoked::parse("oidc:https://idp.example#4711").expect("a good file");
    let access = Access::new(Settings { revoked, ..settings(rules()) });
    assert_eq!(open_at(&access, json!({})).err(), Some(Denied::Revoked));
    assert_eq!(access.authenticate_cookie(&key(), &cookie(&session), NOW), Err(Denied::Revoked));
    assert!(!access.is_still_good(&session.principal));
    let other = Revoked::parse("jwt:https://idp.example#4711\ntoken:4711").expect("a good file");
    assert!(open_at(&Access::new(Settings { revoked: other, ..settings(rules()) }), json!({})).is_ok());
}

#[test]
fn account_without_a_role_is_known_and_may_do_nothing() {
    for (changes, why) in [
        (json!({"cuttlebone_roles": ["offline_access"]}), Denied::NoRole),
        (json!({"cuttlebone_roles": null}), Denied::NoRole),
        (json!({"cuttlebone_devices": null}), Denied::NoDevices),
    ] {
        let session = open(changes.clone());
        assert_eq!(session.nothing, Some(why), "{changes}");
        let principal = access().authenticate_cookie(&key(), &cookie(&session), NOW).expect("known");
        assert!(principal.roles().is_empty() && !principal.may_list(), "{changes}");
    }
}

#[test]
fn claims_that_are_for_others_or_make_no_sense_sign_nobody_in() {
    for (changes, expected) in [
        (json!({"iss": "https://other.example"}), Denied::Issuer),
        (json!({"aud": "other"}), Denied::Audience),
        (json!({"aud": null}), Denied::Audience),
        (json!({"sub": ""}), Denied::Claims),
        (json!({"sub": null}), Denied::Claims),
        (json!({"cuttlebone_roles": {"admin": true}}), Denied::Claims),
        (json!({"cuttlebone_devices": vec!["x".repeat(250); 20]}), Denied::TooLong),
    ] {
        assert_eq!(open_at(&access(), changes.clone()).err(), Some(expected), "{changes}");
    }
    let none = Access::new(Settings::default());
    assert_eq!(open_at(&none, json!({})).err(), Some(Denied::Issuer));
}

/// Whoever signs in may have made the address up.
#[test]
fn email_gives_a_role_only_if_the_provider_has_verified_it() {
    let names = [("alice@lab.example".to_owned(), Roles::NONE.with(Role::Admin))];
    let access =
        Access::new(settings(IssuerSettings { roles_claim: "email".into(), role_names: names.into(), ..rules() }));
    for (verified, is_admin) in
        [(json!(true), true), (json!(false), false), (json!("true"), false), (json!(null), false)]
    {
        let session = open_at(&access, json!({"email": "alice@lab.example", "email_verified": verified}));
        assert_eq!(session.expect("signed in").principal.has(Role::Admin), is_admin, "{verified}");
    }
}

#[test]
fn rules_are_checked() {
    assert!(Sessions::new(IssuerSettings { issuer: "a#b".into(), ..rules() }).is_err());
    assert!(Sessions::new(IssuerSettings { role_names: [("x".to_owned(), Roles::NONE)].into(), ..rules() }).is_err());
}

#[test]
fn session_is_not_shown() {
    let shown = format!("{:?}", open(json!({})));
    assert!(shown.contains("oidc:") && !shown.contains("cbs_"), "{shown}");
}
