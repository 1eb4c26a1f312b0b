//! Bodies of the fuzz targets. Each panics where an invariant breaks.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::Value;

use crate::pattern::{Pattern, naive};
use crate::{
    Access, Algorithm, IssuerSettings, Jwt, KeySet, Revoked, SessionKey, Sessions, Settings, StaticTokens, Token,
};

const ISSUER: &str = "https://idp.example";
const SECRET: &[u8] = b"RvQ7tYw2mJ9cLx4pDz8sHk3nBf6gTe1a";
const NOW: u64 = 1_800_000_000;

/// Any text as a token; or, after an odd first byte, any two texts, with a line feed between them, as the header and the claims
/// of a token that the right key signed. Who is recognised has claims that say so, and is recognised again.
pub fn token(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (header, claims) = text.split_once('\n').unwrap_or((r#"{"alg":"HS256"}"#, text));
    let text = if kind % 2 == 1 { signed(header, claims) } else { text.to_owned() };
    let Some(token) = Token::new(&text) else { return };
    let access = access();
    let first = access.authenticate(&token, NOW);
    assert_eq!(access.authenticate(&token, NOW), first, "another answer the second time");
    let key = SessionKey::new(SECRET).expect("long enough");
    assert_eq!(access.authenticate_cookie(&key, &token, NOW).ok(), first.clone().ok(), "a session that nobody began");
    if let Ok(principal) = first {
        assert!(kind % 2 == 1, "a token that nobody signed");
        let claims: Value = serde_json::from_str(claims).expect("they were read");
        assert_eq!(claims["iss"], ISSUER);
        assert_eq!(Some(principal.name()), claims["sub"].as_str());
        assert!(claims["exp"].as_f64().is_some_and(|end| end > NOW as f64 - 60.0), "no expiry to come");
        assert!(!principal.roles().is_empty() && access.is_still_good(&principal));
    }
}

/// Any text as each of the files: none makes anything panic, and what is accepted is what the file says.
pub fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(tokens) = StaticTokens::parse(text) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(tokens.len(), lines.count(), "a line that is no token");
    }
    let _ = Revoked::parse(text);
    let keys = [KeySet::from_jwks(text), KeySet::from_pem(text, None), KeySet::from_secret(data, Algorithm::HS256)];
    assert!(keys.iter().flatten().all(|keys| (1..=64).contains(&keys.len())), "no key, or too many");
    let (pattern, id) = text.split_once('\n').unwrap_or((text, text));
    if let (Ok(pattern), true) = (pattern.parse::<Pattern>(), text.len() < 24) {
        assert_eq!(pattern.matches(id), naive(pattern.as_str().as_bytes(), id.as_bytes()), "{pattern:?} and {id:?}");
    }
}

fn signed(header: &str, claims: &str) -> String {
    let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn access() -> Access {
    let keys = KeySet::from_secret(SECRET, Algorithm::HS256).expect("a secret");
    let jwt = Jwt::new(vec![(IssuerSettings::new(ISSUER), keys)]).expect("good settings");
    let sessions = Sessions::new(IssuerSettings::new(ISSUER)).expect("good settings");
    let tokens = StaticTokens::default();
    Access::new(Settings { jwt: Some(jwt), tokens: Some(tokens), sessions: Some(sessions), ..Settings::default() })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const HEADERS: &[&str] = &[r#"{"alg":"HS256"}"#, r#"{"alg":"none"}"#, r#"{"alg":"HS256","crit":[]}"#, "7"];
    const TIMES: &[&str] = &["1800000001", "1799999941", "1799999940", "1e300", "-1", "\"1800000001\"", "1.8e9"];
    /// Roughly a line of the file with tokens.
    const WORDS: &str = concat!(
        "(sha256:|cbt_)?[0-9a-f]{62,66}( (name|role|devices|tenant|expires|prefix|max_clients)",
        "[= ](a|b|device|admin|x[*],y|2027-01-31|\\PC)){0,5}",
    );
    /// Roughly a key of a set.
    const JWK: &str = concat!(
        r#"\{"kty":"(RSA|EC|OKP|oct)","crv":"(P-256|P-384|Ed25519)","(x|n|k)":"[A-Za-z0-9_-]{0,90}","#,
        r#""(y|e|alg)":"([A-Za-z0-9_-]{0,66}|RS256|AQAB)"\}"#,
    );
    /// How the DER of a public key begins, of each kind.
    const FORMS: [&[u8]; 3] = [
        b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04",
        b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00\x30\x82",
    ];

    #[test]
    fn good_claims_reach_the_end() {
        let claims = format!(
            r#"{{"iss":"{ISSUER}","sub":"a","exp":{},"cuttlebone_roles":"client","cuttlebone_devices":"*"}}"#,
            NOW + 1
        );
        let signed = Token::new(&signed(HEADERS[0], &claims)).expect("a token");
        assert!(access().authenticate(&signed, NOW).is_ok());
        token(format!("1{}\n{claims}", HEADERS[0]).as_bytes());
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_is_denied(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            token(text.as_bytes());
            token(&bytes);
        }

        #[test]
        fn any_claims_are_good_or_denied(
            header in prop::sample::select(HEADERS),
            iss in prop::sample::select(&["\"https://idp.example\"", "7", "null", "\"x\""][..]),
            sub in prop::sample::select(&["\"a\"", "\"\"", "7", "\"\\n\""][..]),
            exp in prop::sample::select(TIMES),
            roles in prop::sample::select(&["\"client\"", "[\"admin\",7]", "[\"observer\"]", "null"][..]),
            devices in prop::sample::select(&["\"*\"", "[]", "[\"a\",\"b*\"]", "7", "null"][..]),
        ) {
            let claims = format!(
                r#"{{"iss":{iss},"sub":{sub},"exp":{exp},"cuttlebone_roles":{roles},"cuttlebone_devices":{devices}}}"#
            );
            token(format!("1{header}\n{claims}").as_bytes());
        }

        #[test]
        fn any_text_is_a_file_or_a_fault(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            file(text.as_bytes());
            file(&bytes);
        }

        #[test]
        fn any_words_are_a_file_or_a_fault(lines in prop::collection::vec(WORDS, 0..6)) {
            file(lines.join("\n").as_bytes());
        }

        #[test]
        fn any_set_of_keys_is_keys_or_a_fault(keys in prop::collection::vec(JWK, 0..4)) {
            file(format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes());
        }

        #[test]
        fn any_bytes_in_pem_are_a_key_or_a_fault(mut bytes in any::<Vec<u8>>(), at in 0_usize..60, of in 0_usize..3) {
            let mut der = FORMS[of].to_vec();
            der.append(&mut bytes);
            if let Some(byte) = der.get_mut(at) {
                *byte ^= 1;
            }
            let body = STANDARD.encode(&der);
            file(format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n").as_bytes());
        }
    }
}
