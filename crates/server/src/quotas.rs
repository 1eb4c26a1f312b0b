//! What one principal may have, wherever it comes from.
//!
//! Invariants: 1. a place is given back when it is dropped; 2. a principal is known here only as long as it has a place, or
//! an id whose rate has to be kept; 3. all of that is bounded.

mod registrations;

use std::collections::HashMap;
use std::sync::Arc;

use cuttlebone_access::Principal;
use parking_lot::Mutex;

use crate::context::Role;
use crate::metrics::Refusal;
use crate::settings::QuotaSettings;
use crate::tables;

pub(crate) use registrations::Registrations;

/// Places of principals.
#[derive(Debug)]
pub(crate) struct Quotas {
    settings: QuotaSettings,
    taken: Mutex<HashMap<Arc<str>, Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    clients: usize,
    devices: usize,
}

/// A place of a principal.
#[derive(Debug)]
pub(crate) struct QuotaPlace {
    quotas: Arc<Quotas>,
    account: Arc<str>,
    role: Role,
}

impl Quotas {
    pub(crate) fn new(settings: QuotaSettings) -> Arc<Self> {
        Arc::new(Self { settings, taken: Mutex::default() })
    }

    /// Takes a place for one more connection of a principal.
    pub(crate) fn try_take(self: &Arc<Self>, principal: &Principal, role: Role) -> Result<QuotaPlace, Refusal> {
        let most = self.most(principal, role);
        let mut taken = self.taken.lock();
        let account = principal.account();
        let account = match taken.get_key_value(&*account) {
            Some((account, _)) => Arc::clone(account),
            None => Arc::from(account),
        };
        let entry = taken.entry(Arc::clone(&account)).or_default();
        if *entry.of(role) >= most {
            return Err(Refusal::PrincipalFull);
        }
        *entry.of(role) += 1;
        Ok(QuotaPlace { quotas: Arc::clone(self), account, role })
    }

    fn most(&self, principal: &Principal, role: Role) -> usize {
        match role {
            Role::Device => self.settings.devices,
            Role::Client => principal
                .max_clients()
                .map_or(self.settings.clients, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        }
    }
}

impl Taken {
    fn of(&mut self, role: Role) -> &mut usize {
        match role {
            Role::Device => &mut self.devices,
            Role::Client => &mut self.clients,
        }
    }
}

#[cfg(test)]
impl QuotaPlace {
    /// One that is counted nowhere else.
    pub(crate) fn for_test() -> Self {
        Self { quotas: Quotas::new(QuotaSettings::default()), account: "x".into(), role: Role::Client }
    }
}

impl Drop for QuotaPlace {
    fn drop(&mut self) {
        let mut taken = self.quotas.taken.lock();
        let Some(entry) = taken.get_mut(&self.account) else { return };
        *entry.of(self.role) -= 1;
        if entry.clients == 0 && entry.devices == 0 {
            tables::remove(&mut taken, &self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_access::{Access, NewToken, Settings, StaticTokens, Token, TokenFields};

    fn principal(max_clients: Option<&str>) -> Arc<Principal> {
        known(&TokenFields { max_clients, ..TokenFields::default() })
    }

    fn known(fields: &TokenFields<'_>) -> Arc<Principal> {
        let new = NewToken::from_random(&[7; 32]);
        let fields = TokenFields { name: "w", role: "admin", ..*fields };
        let tokens = StaticTokens::parse(&new.line(&fields).expect("a line")).expect("good");
        let access = Access::new(Settings { tokens: Some(tokens), ..Settings::default() });
        access.authenticate(&Token::new(new.secret()).expect("a token"), 0).expect("known")
    }

    #[test]
    fn places_are_of_a_principal_and_a_role_and_are_free_again_when_dropped() {
        let quotas = Quotas::new(QuotaSettings { clients: 2, devices: 1, ..QuotaSettings::default() });
        let who = principal(None);
        let places: Vec<_> = (0..3).map(|_| quotas.try_take(&who, Role::Client)).collect();
        assert_eq!(places.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
        let device = quotas.try_take(&who, Role::Device).expect("another role");
        assert!(quotas.try_take(&who, Role::Device).is_err());
        drop(places);
        assert!(quotas.try_take(&who, Role::Client).is_ok());
        drop(device);
        assert!(quotas.taken.lock().is_empty());
    }

    #[test]
    fn who_is_of_two_tenants_has_places_in_each() {
        let quotas = Quotas::new(QuotaSettings { clients: 1, ..QuotaSettings::default() });
        let [none, one, two] = [None, Some("one"), Some("two")].map(|tenant| {
            let who = known(&TokenFields { tenant, ..TokenFields::default() });
            quotas.try_take(&who, Role::Client).map(|place| (who, place)).expect("its own")
        });
        for (who, _) in [&none, &one, &two] {
            assert!(quotas.try_take(who, Role::Client).is_err(), "{who:?}");
        }
    }

    #[test]
    fn token_may_say_how_many_clients_it_may_have() {
        let quotas = Quotas::new(QuotaSettings { clients: 2, ..QuotaSettings::default() });
        for (most, said) in [(1, "1"), (3, "3")] {
            let who = principal(Some(said));
            let places: Vec<_> = (0..5).filter_map(|_| quotas.try_take(&who, Role::Client).ok()).collect();
            assert_eq!(places.len(), most);
        }
    }
}
