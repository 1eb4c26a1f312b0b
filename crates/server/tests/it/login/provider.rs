//! A provider that says whatever a test wants.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use ring::{digest, hmac};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::form_urlencoded;

pub(super) const CLIENT: &str = "cuttlebone";

/// It ends when dropped.
pub(super) struct Provider {
    pub(super) issuer: String,
    pub(super) plan: Arc<Mutex<Plan>>,
    /// Lets one exchange go on that is held.
    pub(super) go_on: Arc<Notify>,
    _stop: DropGuard,
}

/// What it says, and what it was asked.
pub(super) struct Plan {
    /// In place of what it would say of itself.
    pub(super) metadata: Value,
    /// In place of the claims of a good ID token.
    pub(super) claims: Value,
    pub(super) signs: Signs,
    pub(super) key: Key,
    /// Of the ID token of the attempt that is to succeed.
    pub(super) nonce: String,
    pub(super) discovery: Says,
    pub(super) token: Says,
    /// The form of each exchange, and its header Authorization.
    pub(super) exchanges: Vec<(HashMap<String, String>, String)>,
    /// How often it was asked what it is.
    pub(super) discoveries: usize,
    /// How often anybody went where it led.
    pub(super) followed: usize,
}

/// How an ID token is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Signs {
    Well,
    /// `alg` is `none`.
    Not,
    /// With the public key as the secret of HS256.
    WithPublicKey,
    /// With the client secret.
    WithSecret,
    /// With a key that has the `kid` of the good one.
    WithAnother,
}

/// How it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Says {
    Well,
    Status(u16, &'static str),
    /// With a redirect to itself.
    Elsewhere,
    /// More than anybody needs.
    Huge,
    /// Nothing, ever.
    Nothing,
    /// When a test says so.
    Later,
}

/// A key of ES256.
pub(super) struct Key {
    pair: EcdsaKeyPair,
    kid: String,
}

impl Key {
    pub(super) fn new(kid: &str) -> Self {
        let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.serialized_der(), &SystemRandom::new());
        Self { pair: pair.expect("a key"), kid: kid.to_owned() }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": text(x), "y": text(y)})
    }

    fn sign(&self, message: &str) -> String {
        text(self.pair.sign(&SystemRandom::new(), message.as_bytes()).expect("signed").as_ref())
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The challenge of a verifier: RFC 7636, 4.2.
pub(super) fn challenge(verifier: &str) -> String {
    text(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref())
}

impl Provider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let plan = Arc::new(Mutex::new(Plan {
            metadata: json!({}),
            claims: json!({}),
            signs: Signs::Well,
            key: Key::new("one"),
            nonce: String::new(),
            discovery: Says::Well,
            token: Says::Well,
            exchanges: Vec::new(),
            discoveries: 0,
            followed: 0,
        }));
        let (stop, go_on) = (CancellationToken::new(), Arc::new(Notify::new()));
        let (tasks, cancel) = (TaskTracker::new(), stop.clone());
        let served = (issuer.clone(), Arc::clone(&plan), Arc::clone(&go_on));
        tasks.clone().spawn(async move {
            while let Some(Ok((socket, _))) = cancel.run_until_cancelled(listener.accept()).await {
                let (served, cancel) = (served.clone(), cancel.clone());
                tasks.spawn(async move {
                    cancel.run_until_cancelled(serve(socket, served)).await;
                });
            }
        });
        Self { issuer, plan, go_on, _stop: stop.drop_guard() }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan.lock());
    }
}

impl Plan {
    fn metadata(&self, issuer: &str) -> Value {
        let usual = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "end_session_endpoint": format!("{issuer}/end"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
        });
        merged(usual, &self.metadata)
    }

    fn id_token(&self, issuer: &str) -> String {
        let usual = json!({
            "iss": issuer,
            "sub": "4711",
            "aud": CLIENT,
            "nonce": self.nonce,
            "iat": unix_seconds(),
            "exp": unix_seconds() + 300,
            "preferred_username": "alice",
            "roles": ["client"],
        });
        let claims = merged(usual, &self.claims);
        let alg = match self.signs {
            Signs::Well | Signs::WithAnother => "ES256",
            Signs::Not => "none",
            Signs::WithPublicKey | Signs::WithSecret => "HS256",
        };
        let header = json!({"alg": alg, "kid": self.key.kid, "typ": "JWT"});
        let message = [header, claims].map(|part| text(part.to_string().as_bytes())).join(".");
        let shared =
            |secret: &[u8]| text(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes()).as_ref());
        let signature = match self.signs {
            Signs::Well => self.key.sign(&message),
            Signs::WithAnother => Key::new("one").sign(&message),
            Signs::Not => String::new(),
            Signs::WithPublicKey => shared(self.key.pair.public_key().as_ref()),
            Signs::WithSecret => shared(b"the secret of the client"),
        };
        format!("{message}.{signature}")
    }
}

fn merged(mut usual: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(usual.as_object_mut().expect("an object").remove(name)),
            value => usual[name] = value.clone(),
        }
    }
    usual
}

pub(super) fn unix_seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

async fn serve(mut socket: TcpStream, (issuer, plan, go_on): (String, Arc<Mutex<Plan>>, Arc<Notify>)) {
    while let Some((path, authorization, body)) = request(&mut socket).await {
        let (says, body) = {
            let mut plan = plan.lock();
            match path.as_str() {
                "/.well-known/openid-configuration" => {
                    plan.discoveries += 1;
                    (plan.discovery.clone(), plan.metadata(&issuer))
                }
                "/keys" => (Says::Well, json!({"keys": [plan.key.jwk()]})),
                "/token" => {
                    let form = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
                    plan.exchanges.push((form, authorization));
                    let id_token = plan.id_token(&issuer);
                    (plan.token.clone(), json!({"access_token": "a", "token_type": "Bearer", "id_token": id_token}))
                }
                _ => {
                    plan.followed += 1;
                    (Says::Status(404, "{}"), json!({}))
                }
            }
        };
        let answer = match says {
            Says::Nothing => std::future::pending().await,
            Says::Later => {
                go_on.notified().await;
                good(&body.to_string())
            }
            Says::Well => good(&body.to_string()),
            Says::Huge => good(&format!("{{\"x\":\"{}\"}}", "x".repeat(200_000))),
            Says::Status(status, body) => answer(&format!("{status} X"), body),
            Says::Elsewhere => {
                format!("HTTP/1.1 302 X\r\nlocation: {issuer}/elsewhere\r\ncontent-length: 0\r\n\r\n")
            }
        };
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn good(body: &str) -> String {
    answer("200 OK", body)
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// The path, the header Authorization and the body of the next request.
async fn request(socket: &mut TcpStream) -> Option<(String, String, String)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut read).await.unwrap_or_default() == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let header = |wanted: &str| {
        let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
    };
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    while read.len() < end + length {
        if socket.read_buf(&mut read).await.unwrap_or_default() == 0 {
            return None;
        }
    }
    let path = head.split(' ').nth(1)?.to_owned();
    let body = String::from_utf8_lossy(&read[end..end + length]).into_owned();
    Some((path, header("authorization").unwrap_or_default(), body))
}
