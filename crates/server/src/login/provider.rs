//! The provider: what it says of itself, and the exchange of a code for an ID token.
//!
//! What it says (its discovery document and its keys) is asked for when somebody signs in, by one at a time, and believed for a
//! while. Where it could not be had, it is not asked for again at once.
//!
//! `openidconnect` makes the requests and verifies the tokens; every request is sent by our own client, with its bounds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGrantType, CoreIdToken, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreRequestTokenError, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    CsrfToken, DiscoveryError, EndSessionUrl, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, LogoutRequest,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, ProviderMetadata, RedirectUrl,
    RequestTokenError, Scope, SignatureVerificationError, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::attempt::Attempt;
use super::settings::LoginSettings;
use crate::clock;
use crate::fetch::{FetchError, Fetcher};
use crate::metrics::LoginOutcome;

/// How far the provider's clock may be ahead.
const LEEWAY: Duration = Duration::from_secs(60);

/// How long a provider that could not be asked is left alone.
const AGAIN: Duration = Duration::from_secs(5);
/// How old what it says of itself is at least, when it is asked again for the sake of a token that is signed with an unknown key.
const YOUNG: Duration = Duration::from_secs(30);
/// Signatures of a provider. None is made with a secret that others have too, nor is there none.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The provider, and what is known of it.
pub(super) struct Provider {
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    callback: RedirectUrl,
    believed: Duration,
    fetcher: Fetcher,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    client: Option<(Instant, Arc<Client>)>,
    failed: Option<Instant>,
}

/// What the provider said of itself, ready for use.
pub(super) struct Client {
    inner: CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>,
    issuer: IssuerUrl,
    client_id: ClientId,
    extra: Extra,
}

/// What is read besides what `openidconnect` knows.
#[derive(Debug, Clone, Deserialize, Serialize)]
struct Extra {
    end_session_endpoint: Option<EndSessionUrl>,
    /// RFC 9207, 3.
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for Extra {}

type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Why a token was not accepted.
enum Unverified {
    /// It is signed with a key that is not known yet, perhaps.
    UnknownKey,
    /// Anything else, in a word for the log.
    Bad(&'static str),
}

impl Provider {
    /// `None` where the settings can't be used.
    pub(super) fn new(settings: &LoginSettings, callback: &Url, fetcher: Fetcher) -> Option<Self> {
        Some(Self {
            issuer: IssuerUrl::new(settings.issuer.clone()).ok()?,
            client_id: ClientId::new(settings.client_id.clone()),
            client_secret: settings.client_secret.as_ref().map(|secret| ClientSecret::new(secret.expose().to_owned())),
            callback: RedirectUrl::from_url(callback.clone()),
            believed: settings.metadata,
            fetcher,
            known: Mutex::default(),
        })
    }

    /// What the provider says of itself.
    pub(super) async fn client(&self) -> Result<Arc<Client>, LoginOutcome> {
        self.client_within(self.believed).await
    }

    /// The same, if it is not older than `believed`. One asks, and the others wait for it.
    async fn client_within(&self, believed: Duration) -> Result<Arc<Client>, LoginOutcome> {
        let mut known = self.known.lock().await;
        if let Some((since, client)) = &known.client
            && clock::now() - *since < believed
        {
            return Ok(Arc::clone(client));
        }
        if known.failed.is_some_and(|failed| clock::now() - failed < AGAIN) {
            return Err(LoginOutcome::Unreachable);
        }
        match self.discover().await {
            Ok(client) => {
                *known = Known { client: Some((clock::now(), Arc::clone(&client))), failed: None };
                Ok(client)
            }
            Err(reason) => {
                tracing::warn!(%reason, "the provider does not say what it is");
                known.failed = Some(clock::now());
                Err(LoginOutcome::Unreachable)
            }
        }
    }

    async fn discover(&self) -> Result<Arc<Client>, String> {
        let http = |request| send(self.fetcher.clone(), request);
        let metadata = Metadata::discover_async(self.issuer.clone(), &http).await.map_err(|error| match error {
            DiscoveryError::Request(error) => error.to_string(),
            DiscoveryError::Response(status, _, _) => format!("its answer has the status {}", status.as_u16()),
            DiscoveryError::Validation(_) => "its document is of another issuer".to_owned(),
            _ => "its answer is not as it should be".to_owned(),
        })?;
        let authorize = metadata.authorization_endpoint().url();
        let uri = authorize.as_str().parse().map_err(|_| "its authorization_endpoint is no URL".to_owned())?;
        self.fetcher.check(&uri).map_err(|error| error.to_string())?;
        if metadata.token_endpoint().is_none() {
            return Err("it has no token_endpoint".to_owned());
        }
        Ok(Arc::new(self.ready(metadata)))
    }

    fn ready(&self, metadata: Metadata) -> Client {
        let by_post = metadata.token_endpoint_auth_methods_supported().is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let auth = if by_post { AuthType::RequestBody } else { AuthType::BasicAuth };
        let extra = metadata.additional_metadata().clone();
        let inner = CoreClient::from_provider_metadata(metadata, self.client_id.clone(), self.client_secret.clone())
            .set_redirect_uri(self.callback.clone())
            .set_auth_type(auth);
        Client { inner, issuer: self.issuer.clone(), client_id: self.client_id.clone(), extra }
    }

    /// The claims of who signed in, for a code that came with `attempt`.
    pub(super) async fn exchange(
        &self,
        client: Arc<Client>,
        code: String,
        attempt: &Attempt,
    ) -> Result<Map<String, Value>, LoginOutcome> {
        let token = self.id_token(&client, code, attempt).await?;
        let verified = match client.verified(&token, attempt) {
            Err(Unverified::UnknownKey) => self.client_within(YOUNG).await?.verified(&token, attempt),
            verified => verified,
        };
        verified.map_err(|unverified| {
            let reason = match unverified {
                Unverified::UnknownKey => "it is signed with an unknown key",
                Unverified::Bad(reason) => reason,
            };
            tracing::warn!(reason, "the provider gave an ID token that is not good");
            LoginOutcome::Failed
        })
    }

    async fn id_token(&self, client: &Client, code: String, attempt: &Attempt) -> Result<CoreIdToken, LoginOutcome> {
        let request = client.inner.exchange_code(AuthorizationCode::new(code)).map_err(|_| LoginOutcome::Failed)?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier().to_owned()));
        let http = |request| send(self.fetcher.clone(), request);
        let failed = |error: RequestTokenError<FetchError, _>| {
            let (reason, outcome) = why(&error);
            tracing::warn!(%reason, "the provider does not take the code");
            outcome
        };
        let answer = request.request_async(&http).await.map_err(failed)?;
        answer.id_token().cloned().ok_or_else(|| {
            tracing::warn!(reason = "there is no ID token", "the provider does not take the code");
            LoginOutcome::Failed
        })
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Where a browser goes to sign in.
    pub(super) fn authorize(&self, attempt: &Attempt, scopes: &[String]) -> Url {
        let verifier = PkceCodeVerifier::new(attempt.verifier().to_owned());
        let (state, nonce) = (attempt.state().to_owned(), attempt.nonce().to_owned());
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let request = self.inner.authorize_url(flow, || CsrfToken::new(state), || Nonce::new(nonce));
        let request = scopes.iter().fold(request, |request, scope| request.add_scope(Scope::new(scope.clone())));
        request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier)).url().0
    }

    /// Whether an answer that names this issuer, or none, may be the provider's (RFC 9207, 2.4).
    pub(super) fn may_be_from(&self, issuer: Option<&str>) -> bool {
        match issuer {
            Some(issuer) => issuer == self.issuer.as_str(),
            None => self.extra.authorization_response_iss_parameter_supported != Some(true),
        }
    }

    /// Where a browser goes to sign out, to come back to `root` then.
    pub(super) fn end(&self, root: &Url) -> Option<Url> {
        let request = LogoutRequest::from(self.extra.end_session_endpoint.clone()?);
        let back = PostLogoutRedirectUrl::from_url(root.clone());
        let url = request.set_client_id(self.client_id.clone()).set_post_logout_redirect_uri(back).http_get_url();
        matches!(url.scheme(), "https" | "http").then_some(url)
    }

    /// The claims of a token, if the provider gave it to us, in this attempt.
    fn verified(&self, token: &CoreIdToken, attempt: &Attempt) -> Result<Map<String, Value>, Unverified> {
        let verifier = self.inner.id_token_verifier().set_allowed_algs(ALGORITHMS);
        token.claims(&verifier, &Nonce::new(attempt.nonce().to_owned())).map_err(|error| match error {
            ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
                Unverified::UnknownKey
            }
            ClaimsVerificationError::SignatureVerification(_) => Unverified::Bad("its signature is wrong"),
            ClaimsVerificationError::InvalidIssuer(_) => Unverified::Bad("it is of another issuer"),
            ClaimsVerificationError::InvalidAudience(_) => Unverified::Bad("it is for somebody else"),
            ClaimsVerificationError::InvalidNonce(_) => Unverified::Bad("it is of another attempt"),
            ClaimsVerificationError::Expired(_) => Unverified::Bad("it has expired"),
            _ => Unverified::Bad("it is not as it should be"),
        })?;
        let claims = claims(&token.to_string()).ok_or(Unverified::Bad("its claims can't be read"))?;
        // `openidconnect` looks at neither.
        let soon = Duration::from_millis(clock::unix_ms()) + LEEWAY;
        let is_later = |time: &Value| time.as_f64().is_none_or(|time| time > soon.as_secs_f64());
        if ["nbf", "iat"].iter().filter_map(|name| claims.get(*name)).any(is_later) {
            return Err(Unverified::Bad("it is not good yet: is a clock wrong?"));
        }
        // OpenID Connect Core 3.1.3.7, 5: `openidconnect` leaves it to us.
        match claims.get("azp") {
            Some(party) if party.as_str() != Some(self.client_id.as_str()) => {
                Err(Unverified::Bad("it was given to somebody else"))
            }
            _ => Ok(claims),
        }
    }
}

/// All claims of a token that was verified, also those that `openidconnect` does not know.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let content = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&content).ok()
}

/// Why there is no token, without anything that the provider said: it may repeat the code.
fn why(error: &CoreRequestTokenError<FetchError>) -> (String, LoginOutcome) {
    match error {
        RequestTokenError::Request(error) => (error.to_string(), LoginOutcome::Unreachable),
        RequestTokenError::ServerResponse(said) => {
            let word = match said.error() {
                CoreErrorResponseType::InvalidClient => "invalid_client: is oidc.client_secret right?",
                CoreErrorResponseType::InvalidGrant => "invalid_grant",
                CoreErrorResponseType::InvalidRequest => "invalid_request",
                CoreErrorResponseType::UnauthorizedClient => "unauthorized_client",
                _ => "another error",
            };
            (word.to_owned(), LoginOutcome::Failed)
        }
        _ => ("its answer is not as it should be".to_owned(), LoginOutcome::Failed),
    }
}

/// Sends a request of `openidconnect`. A redirect is an answer as any other, and none that it takes.
async fn send(fetcher: Fetcher, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, FetchError> {
    let answer = fetcher.send(request.map(Bytes::from)).await?;
    Ok(answer.map(|body| body.to_vec()))
}
