//! The opening handshake (RFC 6455 section 4.2): is this request an upgrade, and what is the answer.
//!
//! Headers are read as bytes, so that nothing a peer puts into them can panic. Paths, origins and
//! credentials are the business of the caller.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::header::{
    ALLOW, CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use ring::digest;
use thiserror::Error;

/// Subprotocols that begin so carry a credential and are never sent back.
pub const BEARER: &str = "bearer.";

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Not strict about the last bits: only the length of a key matters.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// An upgrade that can be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: HeaderValue,
    /// The subprotocol to confirm: the first that was offered and is not a credential.
    pub subprotocol: Option<HeaderValue>,
}

/// Why an upgrade is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Not GET.
    #[error("A WebSocket is opened with GET")]
    Method,
    /// Older than HTTP/1.1, or HTTP/2, whose handshake is another.
    #[error("A WebSocket is opened with HTTP/1.1")]
    HttpVersion,
    /// No `Upgrade: websocket` with `Connection: upgrade`.
    #[error("This is a WebSocket endpoint")]
    NotUpgrade,
    /// Not version 13.
    #[error("Only WebSocket version 13 is spoken here")]
    Version,
    /// No key, several keys, or one that is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
}

/// Judges a request by its method, version and headers.
///
/// # Errors
/// [`Refusal`] says what to answer instead.
pub fn accept(method: &Method, version: Version, headers: &HeaderMap) -> Result<Accepted, Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    if version != Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    if !lists(headers, &UPGRADE, "websocket") || !lists(headers, &CONNECTION, "upgrade") {
        return Err(Refusal::NotUpgrade);
    }
    if single(headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(Refusal::Version);
    }
    let key = single(headers, &SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?;
    if KEY.decode(key).map(|nonce| nonce.len()) != Ok(16) {
        return Err(Refusal::Key);
    }
    Ok(Accepted { accept: accept_value(key).ok_or(Refusal::Key)?, subprotocol: subprotocol(headers) })
}

impl Accepted {
    /// The 101 answer. No extension is ever confirmed.
    #[must_use]
    pub fn response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(subprotocol) = &self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
        }
        response
    }
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersion | Self::Key => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer, with the headers that its status asks for. The body is the caller's; the text of
    /// this error is meant for it.
    #[must_use]
    pub fn response<B: Default>(self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NotUpgrade | Self::Version => {
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::HttpVersion | Self::Key => {}
        }
        response
    }
}

/// The value of `Sec-WebSocket-Accept` for a key, as it stood in the request.
#[must_use]
pub fn accept_value(key: &[u8]) -> Option<HeaderValue> {
    // RFC 6455 asks for SHA-1; nothing secret depends on it.
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    HeaderValue::try_from(STANDARD.encode(hash.finish())).ok()
}

/// The first subprotocol that was offered, is a token and is not a credential.
#[must_use]
pub fn subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    items(headers, &SEC_WEBSOCKET_PROTOCOL)
        .filter(|item| !item.is_empty() && item.iter().all(|byte| is_token(*byte)))
        .find(|item| !is_bearer(item))
        .and_then(|item| HeaderValue::from_bytes(item).ok())
}

fn is_bearer(item: &[u8]) -> bool {
    item.get(..BEARER.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEARER.as_bytes()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// True if a comma-separated header has this word in it.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(word.as_bytes()))
}

fn items<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// The value of a header that must be there exactly once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    type Changes<'c> = &'c [(&'static str, &'c str)];

    /// A good request with changes; an empty value means: without this header.
    fn request(changes: Changes<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let base = [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", SAMPLE_KEY),
        ];
        for (name, value) in base.iter().chain(changes) {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        headers.into_iter().filter_map(|(name, value)| Some((name?, value))).filter(|(_, v)| !v.is_empty()).collect()
    }

    fn judge(headers: &HeaderMap) -> Result<Accepted, Refusal> {
        accept(&Method::GET, Version::HTTP_11, headers)
    }

    #[test]
    fn example_of_the_rfc_is_accepted() {
        let accepted = judge(&request(&[])).unwrap();
        assert_eq!(accepted.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted.subprotocol, None);
        let response: Response<String> = accepted.response();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
    }

    #[test]
    fn each_fault_has_its_status() {
        let cases: [(Changes<'_>, Refusal, u16); 9] = [
            (&[("upgrade", "")], Refusal::NotUpgrade, 426),
            (&[("upgrade", "h2c")], Refusal::NotUpgrade, 426),
            (&[("connection", "keep-alive")], Refusal::NotUpgrade, 426),
            (&[("sec-websocket-version", "12")], Refusal::Version, 426),
            (&[("sec-websocket-version", "")], Refusal::Version, 426),
            (&[("sec-websocket-key", "")], Refusal::Key, 400),
            (&[("sec-websocket-key", "AAAA")], Refusal::Key, 400),
            (&[("sec-websocket-key", "not base64 at all!!!!===")], Refusal::Key, 400),
            (&[("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAAA=")], Refusal::Key, 400),
        ];
        for (changes, refusal, status) in cases {
            let got = judge(&request(changes)).unwrap_err();
            assert_eq!((got, got.status().as_u16()), (refusal, status), "{changes:?}");
        }
        let version: Response<()> = Refusal::Version.response();
        assert_eq!(version.headers()["sec-websocket-version"], "13");
        assert_eq!(accept(&Method::POST, Version::HTTP_11, &request(&[])), Err(Refusal::Method));
        assert_eq!(accept(&Method::GET, Version::HTTP_10, &request(&[])), Err(Refusal::HttpVersion));
        assert_eq!(Refusal::Method.response::<()>().headers()["allow"], "GET");
    }

    #[test]
    fn a_second_key_or_version_is_refused() {
        let mut headers = request(&[]);
        headers.append("sec-websocket-key", HeaderValue::from_static(SAMPLE_KEY));
        assert_eq!(judge(&headers), Err(Refusal::Key));
        let mut headers = request(&[]);
        headers.append("sec-websocket-version", HeaderValue::from_static("13"));
        assert_eq!(judge(&headers), Err(Refusal::Version));
    }

    #[test]
    fn first_subprotocol_without_a_credential_is_confirmed() {
        for (offered, picked) in [
            ("webrtc-operator", Some("webrtc-operator")),
            ("bearer.abc, webrtc-operator, other", Some("webrtc-operator")),
            ("Bearer.abc", None),
            (" , a b, cf-webrtc-device", Some("cf-webrtc-device")),
        ] {
            let headers = request(&[("sec-websocket-protocol", offered)]);
            let got = judge(&headers).unwrap().subprotocol;
            assert_eq!(got.as_ref().map(|v| v.to_str().unwrap()), picked, "{offered}");
        }
    }

    #[test]
    fn subprotocols_may_be_spread_over_headers() {
        let mut headers = request(&[("sec-websocket-protocol", "bearer.x")]);
        headers.append("sec-websocket-protocol", HeaderValue::from_static("cf-webrtc-device"));
        assert_eq!(judge(&headers).unwrap().response::<()>().headers()["sec-websocket-protocol"], "cf-webrtc-device");
    }

    proptest! {
        #[test]
        fn no_header_panics(values: [Vec<u8>; 5]) {
            let names = ["upgrade", "connection", "sec-websocket-version", "sec-websocket-key", "sec-websocket-protocol"];
            for wild in 0..names.len() {
                let mut headers = request(&[]);
                if let Ok(value) = HeaderValue::from_bytes(&values[wild]) {
                    headers.insert(names[wild], value);
                }
                let _ = judge(&headers).map(|accepted| accepted.response::<()>());
            }
        }
    }
}
