//! The list of servers, and what of it each peer is told.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_proto::IceServer;
use parking_lot::Mutex;

use crate::errand::{Errand, State};
use crate::offer::{Credentials, Offer, Peer, PeerKind, Policy};
use crate::provider::ProviderSettings;
use crate::region;
use crate::secret;
use crate::settings::{MOST_IN_ALL, Privacy, ServerSettings, Settings, bytes_of_all, is_relay};

/// All servers. Only what providers have answered ever changes in it: whoever reloads makes another.
pub struct Ice {
    settings: Settings,
    /// One for each provider.
    states: Vec<Arc<Mutex<State>>>,
}

impl Ice {
    /// With settings that have no faults.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let states = settings.providers.iter().map(|_| Arc::default()).collect();
        Self { settings, states }
    }

    /// With other settings, and what those providers have answered that are the same in both.
    #[must_use]
    pub fn succeeding(&self, settings: Settings) -> Self {
        let same_ttl = settings.ttl == self.settings.ttl;
        let known = |provider: &ProviderSettings| {
            let at = self.settings.providers.iter().position(|known| known == provider && same_ttl)?;
            self.states.get(at).cloned()
        };
        let states = settings.providers.iter().map(|provider| known(provider).unwrap_or_default()).collect();
        Self { settings, states }
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which paths a peer is asked to use.
    #[must_use]
    pub fn policy(&self, kind: PeerKind) -> Policy {
        match (kind, self.settings.privacy) {
            (PeerKind::Client, Privacy::RelayOnly) => Policy::Relay,
            (PeerKind::Client | PeerKind::Device, _) => Policy::All,
        }
    }

    /// What a peer is told. Without credentials, no relays: an address of one without a credential is of no use, and some peers
    /// take none of a list that has it. Providers that have not answered are left out, and
    /// what is more than a peer may be told.
    #[must_use]
    pub fn offer(&self, peer: &Peer<'_>, credentials: Credentials<'_>, now: u64) -> Offer {
        let mut offer = Offer::default();
        for entry in self.servers_for(peer) {
            let is_made = !entry.secrets.is_empty() && credentials != Credentials::Withheld;
            offer.made += usize::from(is_made);
            offer.servers.push(self.credited(entry, credentials, now));
        }
        for (_, state) in self.providers_for(peer) {
            if let Some((servers, _)) = state.lock().good(now)
                && bytes_of_all(&offer.servers) + bytes_of_all(servers) <= MOST_IN_ALL
            {
                offer.servers.extend_from_slice(servers);
            }
        }
        let is_given = credentials != Credentials::Withheld;
        let relays_only = self.policy(peer.kind) == Policy::Relay;
        offer.servers.iter_mut().for_each(|server| keep(server, is_given, relays_only));
        offer.servers.retain(|server| !server.urls.is_empty());
        offer
    }

    /// For how long all credentials of an offer that is made now are good; `None` if none of them expires.
    #[must_use]
    pub fn lifetime(&self, peer: &Peer<'_>, now: u64) -> Option<Duration> {
        let has_made = self.servers_for(peer).any(|entry| !entry.secrets.is_empty());
        let answered = self.providers_for(peer).filter_map(|(_, state)| {
            let (_, expires_at) = state.lock().good(now)?;
            Some(Duration::from_secs(expires_at - now))
        });
        answered.chain(has_made.then_some(self.settings.ttl)).min()
    }

    /// What has to be carried out so that this peer can be told everything, now or later. Whoever takes errands carries them out.
    #[must_use]
    pub fn begin_errands(&self, peer: &Peer<'_>, now: u64) -> Vec<Errand> {
        let ttl = self.settings.ttl.as_secs();
        self.providers_for(peer).filter_map(|(provider, state)| Errand::begin(provider, state, ttl, now)).collect()
    }

    /// Whether an offer that is made now lacks servers of which it will soon be known whether there are any.
    #[must_use]
    pub fn is_awaited(&self, peer: &Peer<'_>, now: u64) -> bool {
        self.providers_for(peer).any(|(_, state)| state.lock().is_awaited(now))
    }

    fn credited(&self, entry: &ServerSettings, credentials: Credentials<'_>, now: u64) -> IceServer {
        let mut server = entry.server.clone();
        if let (Some(secret), Credentials::Given { opaque }) = (entry.secrets.first(), credentials) {
            let username = secret::username(now.saturating_add(self.settings.ttl.as_secs()), opaque);
            server.credential = Some(secret.credential(&username));
            server.username = Some(username);
        }
        server
    }

    fn region(&self, address: Option<IpAddr>) -> Option<&str> {
        let known = address.and_then(|address| region::of(&self.settings.regions, address));
        known.or(self.settings.default_region.as_deref())
    }

    fn servers_for(&self, peer: &Peer<'_>) -> impl Iterator<Item = &ServerSettings> {
        let (tenant, region) = (peer.tenant, self.region(peer.address));
        self.settings.servers.iter().filter(move |entry| entry.scope.has(tenant, region))
    }

    fn providers_for(&self, peer: &Peer<'_>) -> impl Iterator<Item = (&ProviderSettings, &Arc<Mutex<State>>)> {
        let (tenant, region) = (peer.tenant, self.region(peer.address));
        let all = self.settings.providers.iter().zip(&self.states);
        all.filter(move |(provider, _)| provider.scope.has(tenant, region))
    }
}

/// Leaves of a server what a peer may be told.
fn keep(server: &mut IceServer, is_given: bool, relays_only: bool) {
    server.urls.retain(|url| if is_relay(url) { is_given } else { !relays_only });
    if !is_given {
        (server.username, server.credential) = (None, None);
    }
}

impl std::fmt::Debug for Ice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ice").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
