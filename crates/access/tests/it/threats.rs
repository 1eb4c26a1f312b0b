//! What somebody does who has no right to be let in, by its number in `docs/SECURITY_TESTS.md`.

use cuttlebone_access::{Access, Denied, IssuerSettings, Jwt, KeyFault, KeySet, Settings, Token};
use cuttlebone_proto::DeviceId;
use serde_json::{Value, json};

use crate::support::{
    ISSUER, NOW, RSA_PEM, SECRET, Signer, access, access_by, base64url, der, jwks, message, token, usual_claims, who,
};

const ALICE: &str = "jwt:https://idp.example#alice";

/// T18: who may speak for one id may not speak for another, and who controls devices is none.
#[test]
fn t18_signed_token_speaks_for_its_ids_in_its_role_and_for_nothing_else() {
    let signer = Signer::ed25519();
    let access = access(signer.keys());
    let may = |claims: Value, id: &str| {
        let principal = access.authenticate(&signer.token(json!({}), claims), NOW).expect("good");
        let id = DeviceId::new(id).expect("an id");
        [principal.may_register(&id), principal.may_connect(&id), principal.may_see(&id)]
    };
    let device = json!({"cuttlebone_roles": "device", "cuttlebone_devices": "cvd-1"});
    assert_eq!(may(device.clone(), "cvd-1"), [true, false, false]);
    assert_eq!(may(device, "cvd-2"), [false; 3]);
    assert_eq!(may(json!({}), "lab7/cvd-1"), [false, true, true]);
    assert_eq!(may(json!({}), "lab8/cvd-1"), [false; 3]);
    assert_eq!(may(json!({"cuttlebone_roles": "admin"}), "lab7/cvd-1"), [false, true, true]);
}

/// T35: a token without a signature is none, however `none` is written.
#[test]
fn t35_unsigned_token_is_denied() {
    let access = access(Signer::rsa("RS256").keys());
    for alg in ["none", "None", "nOnE", "NONE", "", "rs256", "RS256 ", "ES512", "RSA-OAEP"] {
        let unsigned = message(&json!({"alg": alg}), &usual_claims());
        for signature in ["", "AA", "x"] {
            assert_eq!(who(&access, &token(&format!("{unsigned}.{signature}"))), Err(Denied::Header), "{alg}");
        }
    }
    for header in [json!({"alg": null}), json!({"alg": ["RS256"]}), json!({"alg": 7}), json!([]), json!("RS256")] {
        let unsigned = token(&format!("{}.AA", message(&header, &usual_claims())));
        assert!(matches!(who(&access, &unsigned), Err(Denied::Header | Denied::Malformed)), "{header}");
    }
    let bare = message(&json!({"alg": "RS256"}), &usual_claims());
    assert_eq!(who(&access, &token(&format!("{bare}."))), Err(Denied::Signature));
    assert_eq!(who(&access, &token(&bare)), Err(Denied::Unknown));
    assert_eq!(who(&access, &token(&format!("{bare}.AA.AA"))), Err(Denied::Unknown));
}

/// T35: what is known to all is not a secret that somebody signed with.
#[test]
fn t35_public_key_is_no_shared_secret() {
    let rsa = Signer::rsa("RS256");
    let sets = [rsa.keys(), KeySet::from_jwks(&jwks(&[rsa.jwk_with(json!({"kid": "1"}))])).expect("keys")];
    for keys in sets {
        let access = access(keys);
        let der = der(RSA_PEM);
        for secret in [RSA_PEM.as_bytes(), RSA_PEM.trim().as_bytes(), &der, &der[24..]] {
            let forged = Signer::shared(secret).token(json!({"kid": "1"}), json!({}));
            assert_eq!(who(&access, &forged), Err(Denied::Key));
        }
        assert_eq!(who(&access, &rsa.token(json!({"kid": "1"}), json!({}))).as_deref(), Ok(ALICE));
    }
}

/// T35: a key verifies what it is for; what the header says is only compared with that.
#[test]
fn t35_header_cannot_choose_the_algorithm() {
    let shared = access(Signer::shared(SECRET).keys());
    for signer in Signer::public() {
        assert_eq!(who(&shared, &signer.usual_token()), Err(Denied::Key), "{}", signer.alg);
    }
    let only_rs256 = Signer::rsa("RS256").jwk_with(json!({"alg": "RS256"}));
    let only_rs256 = access(KeySet::from_jwks(&jwks(&[only_rs256])).expect("keys"));
    let any_rsa = access(Signer::rsa("RS256").keys());
    for (alg, named, unnamed) in [
        ("RS256", Ok(ALICE), Ok(ALICE)),
        ("RS384", Err(Denied::Key), Ok(ALICE)),
        ("RS512", Err(Denied::Key), Ok(ALICE)),
        ("PS256", Err(Denied::Key), Ok(ALICE)),
        ("PS384", Err(Denied::Key), Err(Denied::Key)),
    ] {
        let token = Signer::rsa(alg).usual_token();
        assert_eq!(who(&only_rs256, &token), named.map(str::to_owned), "{alg}");
        assert_eq!(who(&any_rsa, &token), unnamed.map(str::to_owned), "{alg}");
    }
    let p256 = Signer::p256();
    for alg in ["HS256", "RS256", "ES384", "EdDSA"] {
        let forged = p256.token(json!({"alg": alg}), json!({}));
        assert_eq!(who(&access(p256.keys()), &forged), Err(Denied::Key), "{alg}");
    }
    let rsa = Signer::rsa("RS256");
    let forged = rsa.token(json!({"alg": "PS256"}), json!({}));
    assert_eq!(who(&any_rsa, &forged), Err(Denied::Signature));
}

/// T35: signatures that a careless verifier takes.
#[test]
fn t35_signature_is_one_of_this_message_by_this_key_in_its_one_form() {
    for signer in Signer::public() {
        let access = access(signer.keys());
        let text = message(&json!({"alg": signer.alg}), &usual_claims());
        let good = signer.sign(text.as_bytes());
        let other = signer.sign(b"another message");
        let zeros = vec![0; good.len()];
        let longer = [good.as_slice(), &[0]].concat();
        for bad in [&zeros, &other, &good[1..], &good[..good.len() - 1], &longer, &[]] as [&[u8]; 6] {
            let forged = token(&format!("{text}.{}", base64url(bad)));
            assert_eq!(who(&access, &forged), Err(Denied::Signature), "{} {bad:?}", signer.alg);
        }
        assert_eq!(who(&access, &token(&format!("{text}.{}", base64url(&good)))).as_deref(), Ok(ALICE));
        for padded in ["=", "A", "!"] {
            let forged = token(&format!("{text}.{}{padded}", base64url(&good)));
            assert_eq!(who(&access, &forged), Err(Denied::Signature), "{} {padded}", signer.alg);
        }
    }
    let (p256, another) = (Signer::p256(), Signer::p256());
    assert_eq!(who(&access(p256.keys()), &another.usual_token()), Err(Denied::Signature));
}

/// T35: not one character of a token may be another.
#[test]
fn t35_token_with_one_character_changed_is_denied() {
    for signer in [Signer::shared(SECRET), Signer::ed25519()] {
        let access = access(signer.keys());
        let good = signer.usual_token().as_str().to_owned();
        for at in 0..good.len() {
            for other in [b'A', b'B', b'.', b'_'] {
                let mut changed = good.clone().into_bytes();
                if changed[at] != other {
                    changed[at] = other;
                    let changed = String::from_utf8(changed).expect("ASCII");
                    assert!(who(&access, &token(&changed)).is_err(), "{at} of {changed}");
                }
            }
        }
    }
}

/// T35: what must be understood and is not, is refused; so is a token that is for something else.
#[test]
fn t35_header_that_asks_for_more_is_denied() {
    let signer = Signer::p256();
    let access = access(signer.keys());
    for header in [
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": []}),
        json!({"crit": "exp"}),
        json!({"typ": "logout+jwt"}),
        json!({"typ": "dpop+jwt"}),
    ] {
        assert_eq!(who(&access, &signer.token(header.clone(), json!({}))), Err(Denied::Header), "{header}");
    }
    for header in [json!({"typ": "JWT"}), json!({"typ": "application/at+jwt"}), json!({"x": [1]}), json!({"cty": "x"})]
    {
        assert_eq!(who(&access, &signer.token(header.clone(), json!({}))).as_deref(), Ok(ALICE), "{header}");
    }
}

/// T36: a key that a token brings along, or says where to find, is not used. Nothing here can open a connection.
#[test]
fn t36_token_brings_no_key_of_its_own() {
    let (ours, theirs) = (Signer::p256(), Signer::p256());
    let access = access(ours.keys());
    for header in [
        json!({"jwk": theirs.jwk}),
        json!({"jku": "http://127.0.0.1:9/jwks.json"}),
        json!({"x5u": "http://127.0.0.1:9/cert.pem"}),
        json!({"x5c": ["MIIB"]}),
        json!({"jwk": theirs.jwk, "jku": "file:///etc/passwd", "x5u": "", "x5c": [], "x5t": "AA"}),
    ] {
        assert_eq!(who(&access, &theirs.token(header.clone(), json!({}))), Err(Denied::Signature), "{header}");
        assert_eq!(who(&access, &ours.token(header.clone(), json!({}))).as_deref(), Ok(ALICE), "{header}");
    }
}

/// T36: `kid` is compared, and nothing else is done with it.
#[test]
fn t36_kid_is_a_name_and_nothing_else() {
    let signer = Signer::p256();
    let access = access(KeySet::from_jwks(&jwks(&[signer.jwk_with(json!({"kid": "one"}))])).expect("keys"));
    let named = |kid: Value| who(&access, &signer.token(json!({"kid": kid}), json!({})));
    assert_eq!(named(json!("one")).as_deref(), Ok(ALICE));
    assert_eq!(named(json!(null)).as_deref(), Ok(ALICE));
    for kid in ["", "One", "one ", "../../dev/null", "' OR 1", "one\0", "*", &"x".repeat(128)] {
        assert_eq!(named(json!(kid)), Err(Denied::Key), "{kid}");
    }
    assert_eq!(named(json!("x".repeat(129))), Err(Denied::Header));
    assert_eq!(named(json!(["one"])), Err(Denied::Header));
    assert!(Token::new(&"x".repeat(1 << 20)).is_none(), "a token of 1 MiB");
}

/// T36: however many keys there are, few are tried.
#[test]
fn t36_number_of_keys_is_bounded_and_so_is_the_number_that_are_tried() {
    let signers: Vec<Signer> = (0..5).map(|_| Signer::ed25519()).collect();
    let of = |number: usize| -> Vec<Value> {
        let numbered = (0..number).map(|at| signers[at % 5].jwk_with(json!({"kid": at.to_string()})));
        numbered.collect()
    };
    let four = access(KeySet::from_jwks(&jwks(&of(4))).expect("keys"));
    assert_eq!(who(&four, &signers[3].usual_token()).as_deref(), Ok(ALICE));
    let five = access(KeySet::from_jwks(&jwks(&of(5))).expect("keys"));
    assert_eq!(who(&five, &signers[3].usual_token()), Err(Denied::Key));
    assert_eq!(who(&five, &signers[4].token(json!({"kid": "4"}), json!({}))).as_deref(), Ok(ALICE));
    let nameless: Vec<Value> = signers.iter().map(|signer| signer.jwk_with(json!({}))).collect();
    assert!(KeySet::from_jwks(&jwks(&nameless[..4])).is_ok());
    assert_eq!(KeySet::from_jwks(&jwks(&nameless)).expect_err("any may have signed"), KeyFault::TooManyNameless);
    assert!(KeySet::from_jwks(&jwks(&of(64))).is_ok());
    assert_eq!(KeySet::from_jwks(&jwks(&of(65))).expect_err("too many"), KeyFault::TooMany);
    assert_eq!(KeySet::from_jwks(&" ".repeat(65_537)).expect_err("too long"), KeyFault::TooLong);
}

/// T38: keys come and go with an overlap.
#[test]
fn t38_key_that_was_withdrawn_verifies_nothing() {
    let (old, new) = (Signer::p256(), Signer::ed25519());
    let (old_jwk, new_jwk) = (old.jwk_with(json!({"kid": "old"})), new.jwk_with(json!({"kid": "new"})));
    let (old_token, new_token) =
        (old.token(json!({"kid": "old"}), json!({})), new.token(json!({"kid": "new"}), json!({})));
    let both = [old_jwk, new_jwk];
    let keys = |keys: &[Value]| access(KeySet::from_jwks(&jwks(keys)).expect("keys"));
    let (before, between, after) = (keys(&both[..1]), keys(&both), keys(&both[1..]));
    for (access, with_old, with_new) in [
        (&before, Ok(ALICE), Err(Denied::Key)),
        (&between, Ok(ALICE), Ok(ALICE)),
        (&after, Err(Denied::Key), Ok(ALICE)),
    ] {
        assert_eq!(who(access, &old_token), with_old.map(str::to_owned));
        assert_eq!(who(access, &new_token), with_new.map(str::to_owned));
    }
    let principal = before.authenticate(&old_token, NOW).expect("good");
    assert!(between.is_still_good(&principal), "its key is still there");
    assert!(!after.is_still_good(&principal), "its key is gone");
}

/// T39: times at the edge of the leeway, and times that are none.
#[test]
fn t39_token_is_good_from_nbf_to_exp_give_or_take_the_leeway() {
    let signer = Signer::p256();
    let fresh = || access(signer.keys());
    for (claims, expected) in [
        (json!({"exp": NOW - 59}), Ok(ALICE)),
        (json!({"exp": NOW - 61}), Err(Denied::Expired)),
        (json!({"nbf": NOW + 59}), Ok(ALICE)),
        (json!({"nbf": NOW + 61}), Err(Denied::NotYet)),
        (json!({"exp": "9999999999"}), Err(Denied::Claims)),
        (json!({"nbf": "9999999999"}), Err(Denied::Claims)),
        (json!({"exp": 1e300}), Err(Denied::Claims)),
        (json!({"exp": -1}), Err(Denied::Claims)),
        (json!({"exp": null}), Err(Denied::Claims)),
    ] {
        let token = signer.token(json!({}), claims.clone());
        assert_eq!(who(&fresh(), &token), expected.map(str::to_owned), "{claims}");
    }
    let late = signer.token(json!({}), json!({"exp": NOW - 59}));
    let principal = fresh().authenticate(&late, NOW).expect("within the leeway");
    assert_eq!(
        (principal.expires_at(), principal.is_over(NOW), principal.is_over(NOW + 1)),
        (Some(NOW - 59), false, true)
    );
    let aged = access_by(IssuerSettings { max_age: Some(3_600), ..IssuerSettings::new(ISSUER) }, signer.keys());
    assert_eq!(who(&aged, &signer.usual_token()), Err(Denied::TooOld));
    assert_eq!(who(&aged, &signer.token(json!({}), json!({"iat": NOW - 3_000}))).as_deref(), Ok(ALICE));
}

/// T39: a token that was seen before is judged by the clock as one that was not.
#[test]
fn t39_what_was_verified_before_expires_all_the_same() {
    let signer = Signer::p256();
    let claims = json!({"nbf": NOW - 100, "exp": NOW + 100, "iat": NOW - 50});
    let settings = || IssuerSettings { max_age: Some(120), ..IssuerSettings::new(ISSUER) };
    let (token, known) = (signer.token(json!({}), claims), access_by(settings(), signer.keys()));
    assert_eq!(who(&known, &token).as_deref(), Ok(ALICE));
    for now in (NOW - 200..NOW + 200).rev() {
        let fresh = access_by(settings(), signer.keys());
        assert_eq!(known.authenticate(&token, now), fresh.authenticate(&token, now), "at {now}");
    }
}

/// An issuer speaks for itself: its key is no good for what another says.
#[test]
fn issuer_cannot_sign_for_another() {
    let (ours, theirs) = (Signer::p256(), Signer::p256());
    let jwt = Jwt::new(vec![
        (IssuerSettings::new(ISSUER), ours.keys()),
        (IssuerSettings::new("https://other.example"), theirs.keys()),
    ]);
    let settings = Settings { jwt: Some(jwt.expect("good settings")), ..Settings::default() };
    let access = Access::new(settings);
    let other = json!({"iss": "https://other.example"});
    assert_eq!(who(&access, &theirs.usual_token()), Err(Denied::Signature));
    assert_eq!(who(&access, &theirs.token(json!({}), other)).as_deref(), Ok("jwt:https://other.example#alice"));
    for iss in [json!("https://idp.example/"), json!("idp.example"), json!("")] {
        assert_eq!(who(&access, &ours.token(json!({}), json!({"iss": iss}))), Err(Denied::Issuer));
    }
    for iss in [json!(null), json!([ISSUER]), json!(7)] {
        assert_eq!(who(&access, &ours.token(json!({}), json!({"iss": iss}))), Err(Denied::Issuer));
    }
}

/// What may be a token of an issuer of ours is denied for what it is, and not as one that somebody else may know.
#[test]
fn token_that_can_not_be_read_whole_is_still_of_its_issuer() {
    let signer = Signer::p256();
    let access = access(signer.keys());
    let signed = |header: &[u8], claims: &[u8]| {
        let text = format!("{}.{}", base64url(header), base64url(claims));
        token(&format!("{text}.{}", base64url(&signer.sign(text.as_bytes()))))
    };
    let good: &[u8] = br#"{"alg":"ES256"}"#;
    let nested = format!(r#"{{"iss":"{ISSUER}","x":{}{}}}"#, "[".repeat(130), "]".repeat(130));
    for (header, claims, expected) in [
        (good, format!(r#"{{"iss":"{ISSUER}","name":"Ann \ud83d"}}"#).as_bytes(), Denied::Claims),
        (good, format!(r#"{{"iss":"{ISSUER}","x":1e999}}"#).as_bytes(), Denied::Claims),
        (good, format!(r#"{{"iss":"{ISSUER}","iss":"{ISSUER}"}}"#).as_bytes(), Denied::Claims),
        (good, nested.as_bytes(), Denied::Claims),
        (good, b"{\"iss\":\"\xff\"}", Denied::Claims),
        (good, b"", Denied::Claims),
        (br#"{"alg":"ES256","x":"\ud83d"}"#, br"{}", Denied::Header),
        (br#" {"alg":"ES256","alg":"ES256"}"#, br"{}", Denied::Header),
        (b"{\"alg\":\"\xff\"}", br"{}", Denied::Header),
        (br"7", br"{}", Denied::Malformed),
        (good, br"{}", Denied::Issuer),
    ] {
        assert_eq!(who(&access, &signed(header, claims)), Err(expected), "{}", String::from_utf8_lossy(claims));
    }
}

#[test]
fn text_that_is_no_token_is_denied_and_never_shown() {
    let nobodys = access(Signer::p256().keys());
    for (text, expected) in [
        ("CANARY", Denied::Unknown),
        ("a.b", Denied::Unknown),
        ("..", Denied::Malformed),
        ("CANARY.CANARY.CANARY", Denied::Malformed),
        ("e30.e30.", Denied::Header),
        ("cbt_CANARY", Denied::Unknown),
        ("cbt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Denied::Unknown),
    ] {
        let denied = who(&nobodys, &token(text)).expect_err("no token");
        assert_eq!(denied, expected, "{text}");
        assert!(!format!("{denied} {denied:?} {}", denied.label()).contains("CANARY"), "{text}");
    }
    let signer = Signer::p256();
    let array = format!("{}.{}", base64url(br#"{"alg":"ES256"}"#), base64url(br#"["https://idp.example"]"#));
    let array = format!("{array}.{}", base64url(&signer.sign(array.as_bytes())));
    assert_eq!(who(&access(signer.keys()), &token(&array)), Err(Denied::Claims));
}
