//! Keys as they come: JWK Sets, PEM, shared secrets.

use cuttlebone_access::{Algorithm, Denied, IssuerFault, IssuerSettings, Jwt, KeyFault, KeySet, SkippedKey, UnfitKey};
use serde_json::{Value, json};

use crate::support::{ISSUER, RSA_PEM, RSA_PRIVATE_PEM, SECRET, Signer, access, jwks, who};

const ALICE: &str = "jwt:https://idp.example#alice";

/// What a set of this one key is refused with.
fn unfit(key: Value) -> UnfitKey {
    match KeySet::from_jwks(&jwks(&[key])) {
        Err(KeyFault::NoneFits(skipped)) => skipped.first().expect("a reason").why,
        other => panic!("{other:?}"),
    }
}

fn unfit_pem(pem: &str, algorithm: Option<Algorithm>) -> KeyFault {
    KeySet::from_pem(pem, algorithm).expect_err("unfit")
}

#[test]
fn fault_names_some_of_the_keys_that_can_not_be_used_and_how_many_there_are() {
    let said = |number: usize| KeySet::from_jwks(&jwks(&vec![json!(1); number])).expect_err("none fits").to_string();
    assert_eq!(said(3).matches("; ").count(), 3, "{}", said(3));
    assert!(said(10_000).ends_with("; and 9997 more") && said(10_000).len() < 300, "{}", said(10_000));
}

#[test]
fn key_of_each_kind_verifies_from_either_form() {
    for signer in Signer::public() {
        let named = signer.jwk_with(json!({"alg": signer.alg, "use": "sig", "key_ops": ["verify"], "kid": "k"}));
        for keys in [
            KeySet::from_pem(&signer.pem, None),
            KeySet::from_pem(&signer.pem, signer.alg.parse().ok()),
            KeySet::from_jwks(&jwks(std::slice::from_ref(&signer.jwk))),
            KeySet::from_jwks(&jwks(&[named])),
        ] {
            let access = access(keys.expect("keys"));
            assert_eq!(who(&access, &signer.usual_token()).as_deref(), Ok(ALICE), "{}", signer.alg);
        }
    }
    let pkcs1 = include_str!("keys/rsa-2048.pkcs1.pem");
    let access = access(KeySet::from_pem(pkcs1, None).expect("keys"));
    assert_eq!(who(&access, &Signer::rsa("RS256").usual_token()).as_deref(), Ok(ALICE));
}

#[test]
fn set_of_an_identity_provider_gives_its_keys_for_signatures() {
    let (rsa, p256) = (Signer::rsa("RS256"), Signer::p256());
    let set = KeySet::from_jwks(&jwks(&[
        rsa.jwk_with(json!({"kid": "enc", "use": "enc", "alg": "RSA-OAEP"})),
        rsa.jwk_with(
            json!({"kid": "sig", "use": "sig", "alg": "RS256", "x5c": ["MIIC"], "x5t": "x", "x5u": "http://x"}),
        ),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
        p256.jwk_with(json!({"kid": "ec"})),
    ]));
    let set = set.expect("keys");
    assert_eq!(set.len(), 2);
    let skipped = [(1, UnfitKey::Use), (3, UnfitKey::Kind), (4, UnfitKey::Kind)];
    assert_eq!(set.skipped(), skipped.map(|(number, why)| SkippedKey { number, why }));
    let access = access(set);
    for (signer, kid) in [(&rsa, "sig"), (&p256, "ec")] {
        assert_eq!(who(&access, &signer.token(json!({"kid": kid}), json!({}))).as_deref(), Ok(ALICE));
    }
    assert_eq!(who(&access, &rsa.token(json!({"kid": "enc"}), json!({}))), Err(Denied::Key));
}

#[test]
fn key_that_cannot_be_used_has_a_reason() {
    let (rsa, p256, ed25519) = (Signer::rsa("RS256"), Signer::p256(), Signer::ed25519());
    for (key, expected) in [
        (json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}), UnfitKey::Secret),
        (rsa.jwk_with(json!({"use": "enc"})), UnfitKey::Use),
        (rsa.jwk_with(json!({"key_ops": ["sign"]})), UnfitKey::Use),
        (rsa.jwk_with(json!({"alg": "HS256"})), UnfitKey::Algorithm),
        (rsa.jwk_with(json!({"alg": "ES256"})), UnfitKey::Algorithm),
        (rsa.jwk_with(json!({"alg": "none"})), UnfitKey::Algorithm),
        (rsa.jwk_with(json!({"e": "Aw"})), UnfitKey::RsaSize),
        (rsa.jwk_with(json!({"e": "AQAA"})), UnfitKey::RsaSize),
        (rsa.jwk_with(json!({"n": "AQAB"})), UnfitKey::RsaSize),
        (rsa.jwk_with(json!({"n": ""})), UnfitKey::RsaSize),
        (rsa.jwk_with(json!({"n": "a+b/"})), UnfitKey::Damaged),
        (rsa.jwk_with(json!({"n": null})), UnfitKey::Damaged),
        (rsa.jwk_with(json!({"n": 7})), UnfitKey::Damaged),
        (rsa.jwk_with(json!({"kid": "x".repeat(129)})), UnfitKey::Kid),
        (p256.jwk_with(json!({"crv": "P-384"})), UnfitKey::Damaged),
        (p256.jwk_with(json!({"crv": "P-521"})), UnfitKey::Kind),
        (p256.jwk_with(json!({"alg": "ES384"})), UnfitKey::Algorithm),
        (p256.jwk_with(json!({"y": "AA"})), UnfitKey::Damaged),
        (p256.jwk_with(json!({"x": "A".repeat(44), "y": "A".repeat(42)})), UnfitKey::Damaged),
        (ed25519.jwk_with(json!({"crv": "Ed448"})), UnfitKey::Kind),
        (ed25519.jwk_with(json!({"x": "AAAA"})), UnfitKey::Damaged),
        (json!({"kid": "x"}), UnfitKey::Damaged),
        (json!(["RSA"]), UnfitKey::Damaged),
        (json!("RSA"), UnfitKey::Damaged),
    ] {
        assert_eq!(unfit(key.clone()), expected, "{key}");
    }
    for text in ["", "[]", "{}", "7", r#"{"keys":{}}"#, r#"{"keys":[}"#, r#"[["keys"]]"#] {
        assert_eq!(KeySet::from_jwks(text).expect_err("no set"), KeyFault::NoJwks, "{text}");
    }
    assert_eq!(KeySet::from_jwks(r#"{"keys":[]}"#).expect_err("empty"), KeyFault::NoneFits(Vec::new()));
}

#[test]
fn weak_and_foreign_keys_in_pem_are_refused() {
    for (pem, expected) in [
        (include_str!("keys/rsa-1024.pub.pem"), UnfitKey::RsaSize),
        (include_str!("keys/rsa-exponent-3.pub.pem"), UnfitKey::RsaSize),
        (include_str!("keys/secp256k1.pub.pem"), UnfitKey::Kind),
        (include_str!("keys/ed448.pub.pem"), UnfitKey::Kind),
    ] {
        assert_eq!(unfit_pem(pem, None), KeyFault::Unfit(expected), "{pem}");
    }
    assert_eq!(unfit_pem(RSA_PEM, Some(Algorithm::ES256)), KeyFault::Unfit(UnfitKey::Algorithm));
    assert_eq!(unfit_pem(RSA_PEM, Some(Algorithm::HS256)), KeyFault::Unfit(UnfitKey::Algorithm));
    assert_eq!(unfit_pem(&Signer::p256().pem, Some(Algorithm::ES384)), KeyFault::Unfit(UnfitKey::Algorithm));
}

#[test]
fn what_is_no_public_key_in_pem_says_what_to_do() {
    assert_eq!(unfit_pem(RSA_PRIVATE_PEM, None), KeyFault::Private);
    assert_eq!(unfit_pem(&format!("{RSA_PEM}{RSA_PRIVATE_PEM}"), None), KeyFault::Private);
    let made = rcgen::generate_simple_self_signed(["x.example".to_owned()]).expect("a certificate");
    assert_eq!(unfit_pem(&made.cert.pem(), None), KeyFault::Certificate);
    let cut = &RSA_PEM[..200];
    let damaged = RSA_PEM.replace("MIIB", "MIIC");
    let shorter = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n";
    let bits = "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n";
    for (text, expected) in [
        ("", KeyFault::NoPem),
        ("x", KeyFault::NoPem),
        (cut, KeyFault::NoPem),
        ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", KeyFault::NoPem),
        ("-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----", KeyFault::NoPem),
        (&damaged, KeyFault::Unfit(UnfitKey::Damaged)),
        (shorter, KeyFault::Unfit(UnfitKey::Damaged)),
        (bits, KeyFault::Unfit(UnfitKey::Damaged)),
    ] {
        assert_eq!(unfit_pem(text, None), expected, "{text}");
    }
}

#[test]
fn one_file_may_have_several_keys_and_text_between_them() {
    let (p256, ed25519) = (Signer::p256(), Signer::ed25519());
    let text = format!("of May:\n{}\nof June:\r\n{}", p256.pem, ed25519.pem.replace('\n', "\r\n"));
    let access = access(KeySet::from_pem(&text, None).expect("keys"));
    for signer in [p256, ed25519] {
        assert_eq!(who(&access, &signer.token(json!({"kid": "any"}), json!({}))).as_deref(), Ok(ALICE));
    }
}

#[test]
fn key_that_is_commented_out_is_none() {
    let (ours, gone) = (Signer::p256(), Signer::ed25519());
    for out in [gone.pem.lines().map(|line| format!("# {line}\n")).collect(), gone.pem.replacen("-----", "# -----", 1)]
    {
        let access = access(KeySet::from_pem(&format!("{out}\n{}", ours.pem), None).expect("keys"));
        let token = |signer: &Signer| signer.token(json!({"kid": "any"}), json!({}));
        assert_eq!(who(&access, &token(&ours)).as_deref(), Ok(ALICE));
        assert!(who(&access, &token(&gone)).is_err());
        assert_eq!(unfit_pem(&out, None), KeyFault::NoPem);
    }
}

#[test]
fn secret_is_long_enough_and_nobody_elses() {
    let long = SECRET.repeat(2);
    for (algorithm, least) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
        assert!(KeySet::from_secret(&long[..least], algorithm).is_ok());
        let short = KeySet::from_secret(&long[..least - 1], algorithm).expect_err("short");
        assert_eq!(short, KeyFault::ShortSecret(least));
    }
    for sample in [
        "your-256-bit-secret-your-256-bit",
        "your-256-bit-SECRET-goes-here-ok",
        "changeme-changeme-changeme-changeme",
        "correct horse battery passWORD staple",
        "00000000000000000000000000000000",
        "0123456789abcdef0123456789abcdef",
        "abcdefghijklmnopqrstuvwxyz012345",
        "abababababababababababababababab",
    ] {
        let refused = KeySet::from_secret(sample.as_bytes(), Algorithm::HS256).expect_err("a sample");
        assert_eq!(refused, KeyFault::SampleSecret, "{sample}");
        assert!(!refused.to_string().contains(sample));
    }
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let refused = KeySet::from_secret(SECRET, algorithm).expect_err("no secret is for it");
        assert_eq!(refused, KeyFault::Unfit(UnfitKey::Algorithm));
    }
}

#[test]
fn secrets_and_public_keys_are_never_of_one_issuer() {
    let (shared, p256) = (Signer::shared(SECRET), Signer::p256());
    assert_eq!(shared.keys().and(p256.keys()).expect_err("mixed"), KeyFault::Mixed);
    assert_eq!(p256.keys().and(shared.keys()).expect_err("mixed"), KeyFault::Mixed);
    let two = Signer::shared(b"Zk4rB8vN1qXs6mT0wYc3hPd7jLf9gUa2");
    let access = access(shared.keys().and(two.keys()).expect("keys"));
    for signer in [shared, two] {
        assert_eq!(who(&access, &signer.usual_token()).as_deref(), Ok(ALICE));
    }
}

#[test]
fn all_faults_of_all_issuers_are_told() {
    let settings = |issuer: &str| IssuerSettings::new(issuer);
    let keys = || Signer::p256().keys();
    let faulty = IssuerSettings {
        audiences: vec![String::new()],
        leeway: 601,
        max_age: Some(0),
        roles_claim: String::new(),
        ..settings("a#b")
    };
    let faults = Jwt::new(vec![
        (faulty, KeySet::default()),
        (settings(ISSUER), keys()),
        (settings(ISSUER), keys()),
        (settings("a\nb"), keys()),
    ]);
    let faults: Vec<(String, IssuerFault)> =
        faults.expect_err("faults").into_iter().map(|fault| (fault.issuer, fault.fault)).collect();
    let expected = [
        ("a#b", IssuerFault::Issuer),
        ("a#b", IssuerFault::Audience),
        ("a#b", IssuerFault::Leeway),
        ("a#b", IssuerFault::MaxAge),
        ("a#b", IssuerFault::Claim),
        ("a#b", IssuerFault::NoKey),
        ("a\nb", IssuerFault::Issuer),
        (ISSUER, IssuerFault::Twice),
    ];
    assert_eq!(faults, expected.map(|(issuer, fault)| (issuer.to_owned(), fault)));
    assert_eq!(Jwt::new(Vec::new()).expect_err("none").len(), 1);
    let many = (0..17).map(|at| (settings(&at.to_string()), keys())).collect();
    assert_eq!(Jwt::new(many).expect_err("many")[0].fault, IssuerFault::Number(16));
}

#[test]
fn keys_are_not_shown() {
    let shown = format!("{:?}", Signer::shared(SECRET).keys());
    assert_eq!(shown, "KeySet { keys: 1, skipped: [] }");
}
