//! `/api/v1/login`: signing in at the provider, and coming back.
//!
//! All are visited by a browser, and answered by sending it on. What went wrong is a word in the fragment of a page of ours, which
//! knows what to say of it.

use std::sync::Arc;

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use url::Url;
use url::form_urlencoded;

use crate::app::App;
use crate::audit::{Entry, Event, Outcome};
use crate::caller::Caller;
use crate::gate::{self, LOGIN_COOKIES, cookie_of};
use crate::link::Link;
use crate::login::{Answer, Login, Page};
use crate::metrics::LoginOutcome;
use crate::origin;
use crate::problem;
use crate::routes::session;

/// `GET /api/v1/login/provider`: whether there is one, and what people call it. Whoever is to sign in is not recognised yet.
pub(crate) async fn provider(State(app): State<Arc<App>>) -> Response {
    let Some(login) = &app.login else { return problem::not_found().await };
    super::json(json!({"name": login.name()}).to_string())
}

/// `GET /api/v1/login?return_to=PAGE`: sends a browser to the provider.
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(login) = &app.login else { return problem::not_found().await };
    let page = page(query.as_deref());
    if !origin::is_of_our_page(&headers) {
        return to(&login.url(&page, None));
    }
    // The provider may take longer than a request of us.
    link.set_held();
    match login.begin(&page).await {
        Ok(begun) => {
            let more = format!("; Max-Age={}", login.attempt_seconds());
            let cookie = attempt_cookie(login, &begun.sealed, &more);
            with_cookies(to(&begun.to), [cookie])
        }
        Err(outcome) => to(&login.url(&page, Some(counted(&app, &link, outcome)))),
    }
}

/// `GET /api/v1/login/callback`: a browser comes back.
pub(crate) async fn callback(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(login) = &app.login else { return problem::not_found().await };
    if !origin::is_visit(&headers) {
        return to(&login.url(&Page::default(), None));
    }
    link.set_held();
    let answer = answer(query.as_deref().unwrap_or_default());
    let sealed = cookie_of(&headers, LOGIN_COOKIES[usize::from(login.is_secure())]);
    let attempt = sealed.and_then(|sealed| login.attempt(sealed));
    let state = answer.as_ref().and_then(|answer| answer.state.as_deref());
    let meant = attempt.filter(|attempt| attempt.is_meant(state));
    let (Some(attempt), Some(answer)) = (meant, answer) else {
        // It may be an answer that somebody else asked for: the attempt, if there is one, goes on. Nobody is held back: a state can't
        // be guessed, and a page of another site may lead anybody here, and see how long that takes.
        return to(&login.url(&Page::default(), Some(counted(&app, &link, LoginOutcome::Lost))));
    };
    let over = attempt_cookie(login, "", "; Max-Age=0");
    let guess = gate::Guess::new(&app, Some(&link));
    let finished = login.finish((&attempt, answer), link.peer.ip()).await;
    guess.answered();
    let signed_in = match finished {
        Ok(vouched) => sign_in(&app, &link, login, &vouched),
        Err(outcome) => Err(outcome),
    };
    match signed_in {
        Ok(cookie) => {
            counted(&app, &link, LoginOutcome::SignedIn);
            with_cookies(to(&login.url(&attempt.page(), None)), [over, cookie])
        }
        Err(outcome) => {
            if outcome == LoginOutcome::Failed {
                gate::hold_back(&app, &link).await;
            }
            with_cookies(to(&login.url(&attempt.page(), Some(counted(&app, &link, outcome)))), [over])
        }
    }
}

/// `GET /api/v1/login/end`: sends a browser to where the provider signs it out. It was signed out here before.
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    headers: HeaderMap,
) -> Response {
    let Some(login) = &app.login else { return problem::not_found().await };
    if !origin::is_of_our_page(&headers) {
        return to(&login.url(&Page::default(), None));
    }
    link.set_held();
    match login.end().await {
        Ok(url) => to(&url),
        Err(outcome) => to(&login.url(&Page::default(), Some(counted(&app, &link, outcome)))),
    }
}

/// The cookie of the session of whom the provider has vouched for.
fn sign_in(
    app: &App,
    link: &Link,
    login: &Login,
    vouched: &crate::login::Vouched,
) -> Result<Option<HeaderValue>, LoginOutcome> {
    let peer = link.peer;
    match app.gate.open_session(&vouched.claims, vouched.end) {
        Ok(session) => {
            let (who, roles) = (session.principal.identity(), session.principal.roles());
            match session.nothing {
                None => tracing::info!(%peer, who, %roles, "signed in"),
                Some(why) => tracing::info!(%peer, who, %why, "signed in, and may do nothing here"),
            }
            let caller = Caller::known(session.principal);
            let entry = Entry::new(Event::SignIn).outcome(Outcome::Ok).from(peer).who(&caller);
            app.audit.note(&match session.nothing {
                None => entry,
                Some(why) => entry.reason(why.label()),
            });
            Ok(session::cookie(login.is_secure(), &session.token, ""))
        }
        Err(why) => {
            tracing::warn!(%peer, %why, "the provider has vouched for somebody who may not sign in");
            app.audit.note(&Entry::new(Event::Refusal).refused(why.label()).from(peer));
            Err(LoginOutcome::Refused)
        }
    }
}

fn attempt_cookie(login: &Login, value: &str, more: &str) -> Option<HeaderValue> {
    let is_secure = login.is_secure();
    let (name, secure) = (LOGIN_COOKIES[usize::from(is_secure)], if is_secure { "; Secure" } else { "" });
    // Lax, since a page of the provider leads to the callback.
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}");
    let mut cookie = HeaderValue::try_from(text).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

fn counted(app: &App, link: &Link, outcome: LoginOutcome) -> LoginOutcome {
    app.metrics.login(outcome);
    let reason = match outcome {
        LoginOutcome::Denied => "login_denied",
        LoginOutcome::Failed => "login_failed",
        LoginOutcome::Lost => "login_lost",
        // Noted with what is known of them, or nobody's fault who is here.
        LoginOutcome::SignedIn
        | LoginOutcome::Refused
        | LoginOutcome::Unreachable
        | LoginOutcome::Busy
        | LoginOutcome::NoEnd => return outcome,
    };
    app.audit.note(&Entry::new(Event::Refusal).refused(reason).from(link.peer));
    outcome
}

/// The page that a query names; the list, if it names none of ours.
fn page(query: Option<&str>) -> Page {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(name, _)| name == "return_to").and_then(|(_, page)| Page::new(&page)).unwrap_or_default()
}

/// What a browser brings back; `None` if it has something twice.
fn answer(query: &str) -> Option<Answer> {
    let mut answer = Answer::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let field = match &*name {
            "code" => &mut answer.code,
            "state" => &mut answer.state,
            "iss" => &mut answer.issuer,
            "error" => &mut answer.error,
            _ => continue,
        };
        if field.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    Some(answer)
}

fn to(url: &Url) -> Response {
    let Ok(location) = HeaderValue::from_str(url.as_str()) else {
        return problem::problem(StatusCode::BAD_GATEWAY, "login_failed", "The provider has no address to go to");
    };
    (StatusCode::SEE_OTHER, [(LOCATION, location), (CACHE_CONTROL, HeaderValue::from_static("no-store"))])
        .into_response()
}

fn with_cookies(mut response: Response, cookies: impl IntoIterator<Item = Option<HeaderValue>>) -> Response {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_has_everything_once() {
        let answer = |query| super::answer(query);
        let whole = answer("code=a%20b&state=c&iss=https%3A%2F%2Fa&x=y&session_state=z").expect("an answer");
        assert_eq!((whole.code.as_deref(), whole.state.as_deref()), (Some("a b"), Some("c")));
        assert_eq!((whole.issuer.as_deref(), whole.error), (Some("https://a"), None));
        for bad in ["code=a&code=b", "state=a&state=a", "iss=&iss=", "error=a&code=c&error="] {
            assert!(answer(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn page_that_is_none_of_ours_is_the_list() {
        assert_eq!(page(Some("return_to=viewer.html%3FdeviceId%3Da%2520b")).as_str(), "viewer.html?deviceId=a%20b");
        for bad in [None, Some(""), Some("return_to=%2F%2Fevil.example"), Some("return_to=https%3A%2F%2Fevil.example")]
        {
            assert_eq!(page(bad).as_str(), "", "{bad:?}");
        }
    }
}
