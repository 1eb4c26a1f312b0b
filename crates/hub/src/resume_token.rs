//! The tokens by which a client goes on with its session. Source: protocol.md 2.6.
//!
//! A token names the process that gave it, the client id, the count that the session's messages belong to, and an expiry, and
//! carries a keyed hash of that, of the device with its `device_info`, and of the client's identity. So it says the same to a
//! restarted server, and to another node with the same key, and nobody else can use it.

use std::time::Duration;

use cuttlebone_proto::{ClientId, DeviceId};

use crate::party::{Party, Realm};

/// Bytes of the claims, in the order of [`Claims`], big endian.
const CLAIMS: usize = 8 + 8 + 4 + 4 + 8 + 8;
const TAG: usize = 32;

/// A keyed hash, such as HMAC-SHA256. The hub itself has no cryptography.
pub trait TokenKey: Send + Sync {
    /// The keyed hash of `message`.
    fn sign(&self, message: &[u8]) -> [u8; TAG];
    /// Whether `tag` is the keyed hash of `message`, in constant time.
    fn verify(&self, message: &[u8], tag: &[u8]) -> bool;
}

/// What makes tokens and reads them.
pub struct Tokens {
    key: Box<dyn TokenKey>,
    process: u64,
    started_ms: u64,
    is_shared: bool,
}

/// What a token of ours says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claims {
    process: u64,
    /// A number of the session alone: the id may be drawn again for another, when nobody remembers it.
    pub(crate) session: u64,
    pub(crate) client_id: ClientId,
    /// How often counting had begun anew: numbers of an earlier count mean nothing to a later.
    pub(crate) count: u32,
    expires_ms: u64,
    info: u64,
}

impl Tokens {
    /// Tokens of a process that is named by a random number, and began at `started_ms` after 1970.
    #[must_use]
    pub fn new(key: Box<dyn TokenKey>, process: u64, started_ms: u64) -> Self {
        Self { key, process, started_ms, is_shared: false }
    }

    /// The key is that of earlier processes too: their clients may come back to this one.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// A short hash of a `device_info`.
    pub(crate) fn digest(&self, info: &str) -> u64 {
        let tag = self.key.sign(info.as_bytes());
        tag.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// What a token for a client says.
    pub(crate) fn claim(&self, client_id: ClientId, session: u64, info: u64, expires_ms: u64) -> Claims {
        Claims { process: self.process, session, client_id, count: 0, expires_ms, info }
    }

    /// The token that says so, for a client that is this party, if it is known.
    pub(crate) fn issue(&self, device_id: &DeviceId, party: Option<&Party>, claims: Claims) -> String {
        let claims = claims.to_bytes();
        let tag = self.key.sign(&message(&claims, device_id, party));
        claims.iter().chain(&tag).fold(String::with_capacity(2 * (CLAIMS + TAG)), |mut text, byte| {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
            text
        })
    }

    /// What a token says, if it is one of ours for this device and this party. It may have expired.
    pub(crate) fn read(&self, token: &str, device_id: &DeviceId, party: Option<&Party>) -> Option<Claims> {
        let bytes = from_hex(token)?;
        let (claims, tag) = bytes.split_at_checked(CLAIMS)?;
        if tag.len() != TAG || !self.key.verify(&message(claims, device_id, party), tag) {
            return None;
        }
        Claims::from_bytes(claims)
    }

    /// Whether this process gave the token.
    pub(crate) fn is_own(&self, claims: Claims) -> bool {
        claims.process == self.process
    }

    /// How long clients of an earlier process may still come back, if they have `within` from the start of this one.
    pub(crate) fn time_for_others(&self, within: Duration, now_ms: u64) -> Duration {
        let age = Duration::from_millis(now_ms.saturating_sub(self.started_ms));
        if self.is_shared { within.saturating_sub(age) } else { Duration::ZERO }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Claims {
    /// The same, of a later count.
    pub(crate) fn counted(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// Whether the time of the token is over.
    pub(crate) fn is_expired(self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }

    /// Whether the token was given for a device of this `device_info`.
    pub(crate) fn is_for(self, info: u64) -> bool {
        self.info == info
    }

    fn to_bytes(self) -> [u8; CLAIMS] {
        let mut bytes = [0; CLAIMS];
        bytes[..8].copy_from_slice(&self.process.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.session.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.client_id.value().to_be_bytes());
        bytes[20..24].copy_from_slice(&self.count.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.expires_ms.to_be_bytes());
        bytes[32..].copy_from_slice(&self.info.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |from: usize, len: usize| -> Option<u64> {
            Some(bytes.get(from..from + len)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        };
        Some(Self {
            process: number(0, 8)?,
            session: number(8, 8)?,
            client_id: ClientId::new(u32::try_from(number(16, 4)?).ok()?)?,
            count: u32::try_from(number(20, 4)?).ok()?,
            expires_ms: number(24, 8)?,
            info: number(32, 8)?,
        })
    }
}

/// What is hashed. The claims have a fixed length, and neither a device id nor the name of a realm has a zero byte, so no
/// other claims, device and party give the same message.
fn message(claims: &[u8], device_id: &DeviceId, party: Option<&Party>) -> Vec<u8> {
    let mut message = [b"cuttlebone resume 1\0", claims, device_id.as_str().as_bytes()].concat();
    if let Some(Party { identity, realm, .. }) = party {
        let realm = if let Realm::Tenant(name) = realm { name.as_bytes() } else { b"" };
        message.extend([b"\0", realm, b"\0", identity.as_bytes()].concat());
    }
    message
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * (CLAIMS + TAG) {
        return None;
    }
    let digit = |char: u8| char::from(char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keyed enough to tell keys and messages apart.
    struct Toy(u8);

    impl TokenKey for Toy {
        fn sign(&self, message: &[u8]) -> [u8; TAG] {
            let sum =
                message.iter().fold(u64::from(self.0), |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            std::array::from_fn(|at| sum.to_be_bytes()[at % 8])
        }

        fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
            self.sign(message) == tag
        }
    }

    fn tokens(key: u8, process: u64) -> Tokens {
        Tokens::new(Box::new(Toy(key)), process, 1_000)
    }

    fn device(id: &str) -> DeviceId {
        DeviceId::new(id).expect("valid")
    }

    #[test]
    fn a_token_says_what_it_was_given_for() {
        let client_id = ClientId::new(ClientId::MAX).expect("valid");
        let told = tokens(1, 7).claim(client_id, 11, 99, 5_000).counted(3);
        let token = tokens(1, 7).issue(&device("d"), None, told);
        assert_eq!(token.len(), 144);
        let claims = tokens(1, 8).read(&token, &device("d"), None).expect("of the same key");
        assert_eq!(claims, told);
        assert!(claims.is_for(99) && !claims.is_for(98));
        assert!(claims.is_expired(5_000) && !claims.is_expired(4_999));
        assert!(tokens(1, 7).is_own(claims) && !tokens(1, 8).is_own(claims));
    }

    #[test]
    fn no_other_key_or_device_will_do_and_no_digit_may_change() {
        let claims = tokens(1, 7).claim(ClientId::new(1).expect("valid"), 0, 0, 5_000);
        let token = tokens(1, 7).issue(&device("d"), None, claims);
        assert_eq!(tokens(2, 7).read(&token, &device("d"), None), None);
        assert_eq!(tokens(1, 7).read(&token, &device("e"), None), None);
        let party = |identity: &str, realm| Party { identity: identity.into(), realm, prefix: None };
        let alice = party("alice", Realm::Common);
        assert_eq!(tokens(1, 7).read(&token, &device("d"), Some(&alice)), None, "given to nobody in particular");
        let hers = tokens(1, 7).issue(&device("d"), Some(&alice), claims);
        assert_eq!(tokens(1, 7).read(&hers, &device("d"), Some(&alice)), Some(claims));
        for other in [party("bob", Realm::Common), party("alice", Realm::Tenant("lab".into()))] {
            assert_eq!(tokens(1, 7).read(&hers, &device("d"), Some(&other)), None, "{other:?}");
        }
        assert_eq!(tokens(1, 7).read(&hers, &device("d"), None), None);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(tokens(1, 7).read(&changed, &device("d"), None), None, "digit {at}");
        }
        for bad in ["", "00", &token[1..], &format!("{token}00"), &"\u{e9}".repeat(72), &"+1".repeat(72)] {
            assert_eq!(tokens(1, 7).read(bad, &device("d"), None), None, "{bad}");
        }
    }
}
