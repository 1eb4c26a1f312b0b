//! Who else knows whom a token stands for: issuers with their keys at a URL, and `[hook]`.

use cuttlebone_server::{FetchSettings, Fetcher, HookSettings, JwksSettings, Uri};

use super::super::raw::{RawAccess, RawHook};
use super::check::{Check, count, millis};

/// Judges the URLs of keys.
pub(super) fn issuers(raw: &RawAccess, fetch: &FetchSettings, check: &mut Check<'_>) {
    // The file of certificates is judged by itself.
    let Ok(fetcher) = Fetcher::new(&FetchSettings { ca_file: None, ..fetch.clone() }) else { return };
    for (index, issuer) in raw.jwt.iter().enumerate() {
        let Some(url) = &issuer.jwks_url else { continue };
        let judged = url.parse::<Uri>().map_err(|_| "is not a URL".to_owned());
        if let Err(fault) = judged.and_then(|uri| fetcher.check(&uri).map_err(|error| error.to_string())) {
            check.fault(&format!("access.jwt[{index}].jwks_url"), fault);
        }
    }
}

/// When keys are fetched.
pub(super) fn jwks(raw: &RawAccess) -> JwksSettings {
    JwksSettings {
        refresh: millis(raw.jwks_refresh_ms),
        min_refetch: millis(raw.jwks_min_refetch_ms),
        stale: millis(raw.jwks_stale_ms),
    }
}

/// Who is asked; nobody, if no URL is given.
pub(super) fn hook(raw: &RawHook, check: &mut Check<'_>) -> Option<HookSettings> {
    if raw.url.is_empty() {
        return None;
    }
    let Ok(url) = raw.url.parse::<Uri>() else {
        check.fault("hook.url", "is not a URL");
        return None;
    };
    Some(HookSettings {
        url,
        prefix: raw.prefix.clone(),
        timeout: millis(raw.timeout_ms),
        cache: millis(raw.cache_ms),
        denied_cache: millis(raw.denied_cache_ms),
        recheck: millis(raw.recheck_ms),
        stale: millis(raw.stale_ms),
        asks: count(raw.concurrent),
        waiting: count(raw.waiting),
        kept: count(raw.kept),
    })
}
