//! One certificate: the account, the order, its challenges, and what is issued.

use std::time::Duration;

use cuttlebone_transport::tls::ChallengeGuard;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::Acme;
use super::client::Client;
use super::tokens::TokenGuard;
use crate::logged;
use crate::settings::AcmeChallenge;

/// How the authority is asked whether it is done. All of it has a bound of its own.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(Duration::from_secs(120));

/// A chain and its key, as PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// A challenge that is answered until this is dropped.
enum Answer {
    Http { _guard: TokenGuard },
    Tls { _guard: ChallengeGuard },
}

/// Gets a certificate. Error: what went wrong, in words.
pub(super) async fn certificate(acme: &Acme) -> Result<Issued, String> {
    let names: Vec<_> = acme.settings.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = order(acme, &names).await?;
    let answers = answer(acme, &mut order).await?;
    match order.poll_ready(&POLL).await {
        Ok(OrderStatus::Ready) => {}
        Ok(_) => return Err(why(&mut order).await),
        Err(error) => return Err(words(&error)),
    }
    drop(answers);
    let (request, key) = request(&acme.settings.domains).map_err(|error| error.to_string())?;
    order.finalize_csr(&request).await.map_err(|error| words(&error))?;
    let chain = order.poll_certificate(&POLL).await.map_err(|error| words(&error))?;
    Ok(Issued { chain, key })
}

/// An order by the account that is kept, or by a new one if the authority does not know that any more.
async fn order(acme: &Acme, names: &[Identifier]) -> Result<Order, String> {
    let order = NewOrder::new(names);
    if let Some(kept) = acme.state.account() {
        let builder = Account::builder_with_http(Box::new(Client(acme.fetcher.clone())));
        let account = builder.from_credentials(kept).await.map_err(|error| words(&error))?;
        match account.new_order(&order).await {
            Err(error) if is_unknown(&error) => {
                tracing::warn!("the authority does not know the account: making another")
            }
            made => return made.map_err(|error| words(&error)),
        }
    }
    new_account(acme).await?.new_order(&order).await.map_err(|error| words(&error))
}

async fn new_account(acme: &Acme) -> Result<Account, String> {
    let settings = &acme.settings;
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let external = settings.external_account.as_ref();
    let external = external.map(|account| ExternalAccountKey::new(account.kid.clone(), &account.hmac));
    let builder = Account::builder_with_http(Box::new(Client(acme.fetcher.clone())));
    let made = builder.create(&new, settings.directory_url.clone(), external.as_ref()).await;
    let (account, credentials) = made.map_err(|error| words(&error))?;
    let state = acme.state.clone();
    let keeping = tokio::task::spawn_blocking(move || state.keep_account(credentials));
    keeping.await.map_err(|error| error.to_string())??;
    Ok(account)
}

/// Answers every challenge, and says that it may be looked at.
async fn answer(acme: &Acme, order: &mut Order) -> Result<Vec<Answer>, String> {
    let kind = match acme.settings.challenge {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    let mut answers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| words(&error))?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(format!("an authorization is {other:?}")),
        }
        let challenge = authorization.challenge(kind.clone());
        let mut challenge = challenge.ok_or("the authority does not offer the challenge of acme.challenge")?;
        answers.push(one(acme, &challenge)?);
        challenge.set_ready().await.map_err(|error| words(&error))?;
    }
    Ok(answers)
}

fn one(acme: &Acme, challenge: &ChallengeHandle<'_>) -> Result<Answer, String> {
    let authorization = challenge.key_authorization();
    match acme.settings.challenge {
        AcmeChallenge::Http01 => {
            Ok(Answer::Http { _guard: acme.app.acme_tokens.answer(&challenge.token, authorization.as_str()) })
        }
        AcmeChallenge::TlsAlpn01 => {
            let name = challenge.identifier().to_string();
            let digest = authorization.digest();
            let digest = digest.as_ref().try_into().map_err(|_| "a digest of another length")?;
            let guard = acme.tls.answer_challenge(&name, digest).map_err(|error| error.to_string())?;
            Ok(Answer::Tls { _guard: guard })
        }
    }
}

/// A request in DER for a certificate of these names, and the key that is made for it.
fn request(domains: &[String]) -> Result<(Vec<u8>, String), rcgen::Error> {
    let mut params = CertificateParams::new(domains)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?;
    Ok((request.der().to_vec(), key.serialize_pem()))
}

/// What the authority says of an order that it does not take.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return shorten(&format!("the challenge has failed: {problem}"));
        }
    }
    "the order is not valid".to_owned()
}

/// Whether the authority has no such account.
fn is_unknown(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}

/// An error with all that it comes from.
fn words(error: &Error) -> String {
    shorten(&error.to_string())
}

fn shorten(text: &str) -> String {
    logged::cut(text).to_owned()
}
