//! The tokens of RFC 7515, appendix A: what others signed and wrote down. They have no role of ours, so the way ends there,
//! behind the signature, the issuer and the expiry.

use cuttlebone_access::{Algorithm, Denied, IssuerSettings, KeySet, Token};
use serde_json::json;

use crate::support::{access_by, jwks};

const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const EXPIRY: u64 = 1_300_819_380;

/// What comes of a token of joe's with these keys.
fn judge(keys: &KeySet, header: &str, signature: &str) -> Denied {
    let access = access_by(IssuerSettings::new("joe"), keys.clone());
    let token = Token::new(&format!("{header}.{CLAIMS}.{signature}")).expect("a token");
    let late = access.authenticate(&token, EXPIRY + 60).expect_err("no role");
    let denied = access.authenticate(&token, EXPIRY + 59).expect_err("no role");
    assert_eq!(late == Denied::Expired, denied == Denied::NoRole, "{late} and {denied}");
    denied
}

/// The signature is taken, and the same with another character is not.
fn judge_both(keys: &KeySet, header: &str, signature: &str) {
    assert_eq!(judge(keys, header, signature), Denied::NoRole);
    let changed = signature.replacen(|_| true, if signature.starts_with('A') { "B" } else { "A" }, 1);
    assert_eq!(judge(keys, header, &changed), Denied::Signature);
}

#[test]
fn token_of_rfc_7515_a1_is_signed_by_hs256() {
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let secret = crate::support::from_base64url(secret);
    let keys = KeySet::from_secret(&secret, Algorithm::HS256).expect("keys");
    judge_both(&keys, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

#[test]
fn token_of_rfc_7515_a2_is_signed_by_rs256() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-\
             pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Ca\
             pHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb5\
             4h4FRWyuXpoQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9\
                     uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN\
                     9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIh\
                     WkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let keys = KeySet::from_jwks(&jwks(&[json!({"kty": "RSA", "n": n, "e": "AQAB"})])).expect("keys");
    judge_both(&keys, "eyJhbGciOiJSUzI1NiJ9", signature);
}

#[test]
fn token_of_rfc_7515_a3_is_signed_by_es256() {
    let key = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let keys = KeySet::from_jwks(&jwks(&[key])).expect("keys");
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    judge_both(&keys, "eyJhbGciOiJFUzI1NiJ9", signature);
}
