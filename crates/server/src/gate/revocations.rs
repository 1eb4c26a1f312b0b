//! Who was shut out by an administrator, until this process ends. What is to last stands in `access.revoked_file`.

use std::collections::HashMap;

use cuttlebone_access::Principal;
use cuttlebone_hub::Realm;
use parking_lot::RwLock;

use crate::caller::View;

/// Identities that the administrators of one tenant shut out, or operators: so none of them can use up the room of others.
const MOST: usize = 1_000;

/// As many are shut out as can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Who is shut out, by identity, and where: the administrator of a tenant reaches nobody of another.
#[derive(Debug, Default)]
pub(super) struct Revocations(RwLock<HashMap<Box<str>, Vec<View>>>);

impl Revocations {
    /// Gives whether that is news.
    pub(super) fn add(&self, identity: &str, of: View) -> Result<bool, TooMany> {
        let mut revoked = self.0.write();
        if revoked.get(identity).is_some_and(|views| views.contains(&of)) {
            return Ok(false);
        }
        if revoked.values().filter(|views| views.contains(&of)).count() >= MOST {
            return Err(TooMany);
        }
        revoked.entry(identity.into()).or_default().push(of);
        Ok(true)
    }

    pub(super) fn has(&self, principal: &Principal) -> bool {
        let revoked = self.0.read();
        let Some(views) = revoked.get(principal.identity()) else { return false };
        let realm = match (principal.is_operator(), principal.tenant()) {
            (true, _) => return views.contains(&View::All),
            (false, None) => Realm::Common,
            (false, Some(tenant)) => Realm::Tenant(tenant.as_str().into()),
        };
        views.iter().any(|view| view.has(&realm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_access::{Access, NewToken, Settings, StaticTokens, Token, TokenFields};

    fn principal(tenant: Option<&str>) -> std::sync::Arc<Principal> {
        let new = NewToken::from_random(&[7; 32]);
        let fields = TokenFields { name: "w", role: "admin", tenant, ..TokenFields::default() };
        let tokens = StaticTokens::parse(&new.line(&fields).expect("a line")).expect("good");
        let access = Access::new(Settings { tokens: Some(tokens), ..Settings::default() });
        access.authenticate(&Token::new(new.secret()).expect("a token"), 0).expect("known")
    }

    #[test]
    fn administrator_reaches_nobody_of_another_tenant_and_no_operator() {
        let of = |tenant: &str| View::Of(Realm::Tenant(tenant.into()));
        for (view, expected) in [
            (of("one"), [true, false, false, false]),
            (View::Of(Realm::Common), [false, false, true, false]),
            (View::All, [true, true, true, true]),
        ] {
            let revocations = Revocations::default();
            revocations.add("token:w", view.clone()).expect("room");
            revocations.add("token:w", view.clone()).expect("room");
            let all = [Some("one"), Some("two"), None, Some("*")].map(|tenant| revocations.has(&principal(tenant)));
            assert_eq!(all, expected, "{view:?}");
        }
    }

    #[test]
    fn number_is_bounded() {
        let revocations = Revocations::default();
        for number in 0..MOST {
            revocations.add(&number.to_string(), View::All).expect("room");
        }
        assert_eq!(revocations.add("x", View::All), Err(TooMany));
        assert_eq!(revocations.add("0", View::All), Ok(false));
        assert_eq!(revocations.add("x", View::Of(Realm::Common)), Ok(true), "others have their own room");
    }
}
