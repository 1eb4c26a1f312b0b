//! Keys that come from a URL: when they are fetched, and how long they are good (security.md T37, T38).

use std::time::Duration;

use cuttlebone_access::{Access, Denied, IssuerSettings, Jwt, KeySet, Keys, RemoteKeys, RemoteRules, Settings};
use serde_json::json;

use crate::support::{ISSUER, NOW, Signer, jwks, who};

const URL: &str = "https://idp.example/jwks";
const HOUR: u64 = 60 * 60;

fn rules() -> RemoteRules {
    RemoteRules { refresh: seconds(600), min_refetch: seconds(30), stale: seconds(24 * HOUR) }
}

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// The set of one key of this name.
fn named(signer: &Signer, kid: &str) -> KeySet {
    KeySet::from_jwks(&jwks(&[signer.jwk_with(json!({"kid": kid}))])).expect("keys")
}

/// Fetched once at 0.
fn fetched(keys: KeySet) -> RemoteKeys {
    let mut remote = RemoteKeys::new(rules(), seconds(0));
    remote.begin(seconds(0));
    assert!(remote.on_keys(keys, 0));
    remote
}

/// Begins what is due, and says whether there was anything.
fn runs(remote: &mut RemoteKeys, now: Duration) -> bool {
    let is_due = remote.next_fetch().is_some_and(|next| next <= now);
    if is_due {
        remote.begin(now);
    }
    is_due
}

fn of_url() -> Access {
    let rules = IssuerSettings { jwks_url: Some(URL.into()), ..IssuerSettings::new(ISSUER) };
    let jwt = Jwt::new(vec![(rules, KeySet::default())]).expect("good settings");
    Access::new(Settings { jwt: Some(jwt), ..Settings::default() })
}

#[test]
fn t37_storm_of_unknown_names_fetches_once_in_thirty_seconds() {
    let mut remote = fetched(named(&Signer::p256(), "1"));
    let mut fetches = Vec::new();
    for number in 0..10_000_u64 {
        // Over 100 s.
        let now = Duration::from_millis(100_000 + number * 10);
        remote.want(&format!("kid-{number}"), now);
        if runs(&mut remote, now) {
            fetches.push(now);
            remote.on_keys(named(&Signer::p256(), "1"), 0);
        }
    }
    assert_eq!(fetches.len(), 4, "{fetches:?}");
    assert!(fetches.windows(2).all(|pair| pair[1] - pair[0] >= seconds(30)), "{fetches:?}");
}

#[test]
fn t37_one_fetch_is_for_all_who_ask_while_it_runs_and_a_name_is_asked_for_once() {
    let mut remote = fetched(named(&Signer::p256(), "1"));
    assert!(remote.want("2", seconds(40)) && runs(&mut remote, seconds(40)));
    assert!(remote.want("2", seconds(41)) && remote.want("3", seconds(41)), "they wait");
    assert_eq!(remote.next_fetch(), None, "for the one that runs");
    remote.on_keys(named(&Signer::p256(), "1"), 0);
    for kid in ["2", "3"] {
        assert!(!remote.want(kid, seconds(100)), "{kid} was asked for");
    }
    assert!(remote.want("4", seconds(100)) && runs(&mut remote, seconds(100)));
    remote.on_failure();
    assert!(!remote.want("4", seconds(129)), "too soon");
    assert!(remote.want("4", seconds(130)), "nothing came before");
    assert!(runs(&mut remote, seconds(130)));
    remote.on_keys(named(&Signer::p256(), "1"), 0);
    assert!(!runs(&mut remote, seconds(729)) && runs(&mut remote, seconds(730)), "the next refresh");
    remote.on_keys(named(&Signer::p256(), "1"), 0);
    assert!(remote.want("2", seconds(800)), "they may be asked for again");
}

#[test]
fn t38_keys_are_refreshed_within_ten_minutes_however_much_they_are_used() {
    for jitter in [0, 100, 255] {
        let mut remote = RemoteKeys::new(rules(), seconds(0));
        remote.begin(seconds(0));
        remote.on_keys(named(&Signer::p256(), "1"), jitter);
        for second in 0..540 {
            assert!(matches!(remote.at(seconds(second)), Keys::Known(_)));
            assert!(!runs(&mut remote, seconds(second)), "{second}");
        }
        assert!(runs(&mut remote, seconds(600)), "{jitter}");
    }
}

#[test]
fn t38_keys_are_good_for_a_day_without_the_idp_and_not_longer() {
    let mut remote = fetched(named(&Signer::p256(), "1"));
    for minute in 1..=25 * 60 {
        let now = seconds(minute * 60);
        if runs(&mut remote, now) {
            remote.on_failure();
        }
        let is_known = matches!(remote.at(now), Keys::Known(_));
        assert_eq!(is_known, minute < 24 * 60, "after {minute} minutes");
        assert_eq!(remote.age(now), Some(now));
    }
    assert!(matches!(remote.at(seconds(25 * HOUR)), Keys::Outdated));
    assert_eq!(remote.outdated_at(), Some(seconds(24 * HOUR)));
    assert!(runs(&mut remote, seconds(25 * HOUR + 30)), "it is tried on and on");
    remote.on_keys(named(&Signer::p256(), "2"), 0);
    assert!(matches!(remote.at(seconds(25 * HOUR + 31)), Keys::Known(_)));
}

#[test]
fn first_keys_are_tried_for_more_often_and_less_and_less() {
    let mut remote = RemoteKeys::new(rules(), seconds(5));
    let mut begun = Vec::new();
    for second in 5..200 {
        assert!(matches!(remote.at(seconds(second)), Keys::Awaited));
        if runs(&mut remote, seconds(second)) {
            begun.push(second);
            remote.on_failure();
        }
    }
    assert_eq!(begun, [5, 6, 8, 12, 20, 36, 66, 96, 126, 156, 186]);
    assert!(!remote.want("1", seconds(200)), "no token makes it sooner");
}

#[test]
fn same_keys_again_are_no_change() {
    let (one, other) = (Signer::p256(), Signer::p256());
    let mut remote = fetched(named(&one, "1"));
    for (keys, is_new) in
        [(named(&one, "1"), false), (named(&other, "1"), true), (named(&other, "2"), true), (named(&other, "2"), false)]
    {
        remote.begin(seconds(1));
        assert_eq!(remote.on_keys(keys, 0), is_new);
    }
}

#[test]
fn token_says_which_key_it_needs_only_of_an_issuer_that_has_its_keys_at_a_url() {
    let signer = Signer::p256();
    let access = of_url();
    assert_eq!(access.key_urls(), [(0, URL)]);
    let named = access.wanted_key(&signer.token(json!({"kid": "7"}), json!({}))).expect("a key");
    assert_eq!((named.url.as_str(), named.kid.as_str()), (URL, "7"));
    assert_eq!(access.wanted_key(&signer.usual_token()).expect("a key").kid, "");
    assert_eq!(access.wanted_key(&signer.token(json!({}), json!({"iss": "https://other.example"}))), None);
    // T36: what a token brings or points to is nothing to go by.
    let hostile = json!({"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "jwk": signer.jwk});
    assert_eq!(access.wanted_key(&signer.token(hostile, json!({}))).expect("a key").url, URL);
    let here = crate::support::access(signer.keys());
    assert_eq!((here.key_urls().len(), here.wanted_key(&signer.usual_token())), (0, None));
}

#[test]
fn t38_tokens_follow_the_keys_and_so_do_those_who_came_with_them() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let known = |signer: &Signer| {
        let keys = std::sync::Arc::new(named(signer, "1"));
        of_url().with_keys(move |url| if url == URL { Keys::Known(keys.clone()) } else { Keys::Awaited })
    };
    let token = old.token(json!({"kid": "1"}), json!({}));
    assert_eq!(who(&of_url(), &token), Err(Denied::KeysAwaited));
    let before = known(&old);
    let alice = before.authenticate(&token, NOW).expect("good");
    assert_eq!(before.remembered().0, 1);
    let after = known(&new);
    assert_eq!(after.remembered().0, 0, "what was verified is forgotten with the keys");
    assert_eq!(who(&after, &token), Err(Denied::Signature));
    let outdated = before.with_keys(|_| Keys::Outdated);
    assert_eq!(who(&outdated, &token), Err(Denied::KeysOutdated));
    for (access, is_good) in [(&before, true), (&after, false), (&outdated, false), (&of_url(), true)] {
        assert_eq!(access.is_still_good(&alice), is_good);
    }
}

#[test]
fn keys_are_given_or_at_a_url() {
    let rules = IssuerSettings { jwks_url: Some(URL.into()), ..IssuerSettings::new(ISSUER) };
    assert!(Jwt::new(vec![(rules, Signer::p256().keys())]).is_err());
    assert!(Jwt::new(vec![(IssuerSettings::new(ISSUER), KeySet::default())]).is_err());
}
