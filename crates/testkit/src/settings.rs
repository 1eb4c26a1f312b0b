//! Settings of a server from the keys that transcripts name.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use cuttlebone_proto::IceServer;
use cuttlebone_server::Settings;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A key that no transcript may name, or a value that does not fit it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No such key.
    #[error("no setting is called {0}")]
    UnknownKey(String),
    /// Another kind of value.
    #[error("{0}: {1}")]
    Value(String, serde_json::Error),
}

/// The defaults, on free ports of loopback.
#[must_use]
pub fn local_settings() -> Settings {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Settings { listen: free, metrics_listen: Some(free), ..Settings::default() }
}

/// [`local_settings`] with these keys changed; the names are those of the config file.
///
/// # Errors
/// The first key that can't be used.
pub fn settings_with(changes: &BTreeMap<String, Value>) -> Result<Settings, SettingsError> {
    let mut settings = local_settings();
    for (key, value) in changes {
        set(&mut settings, key, value)?;
    }
    Ok(settings)
}

fn set(settings: &mut Settings, key: &str, value: &Value) -> Result<(), SettingsError> {
    let Settings { timeouts, messages, limits, hub, ice, .. } = settings;
    match key {
        "timeouts.first_message_ms" => timeouts.first_message = time(key, value)?,
        "timeouts.idle_ms" => timeouts.idle = time(key, value)?,
        "timeouts.ping_ms" => timeouts.ping = time(key, value)?,
        "timeouts.message_ms" => timeouts.message = time(key, value)?,
        "messages.max_bytes" => messages.limits.message_bytes = read(key, value)?,
        "messages.max_depth" => messages.limits.depth = read(key, value)?,
        "messages.max_device_info_bytes" => messages.limits.device_info_bytes = read(key, value)?,
        "messages.max_fragments" => messages.max_fragments = read(key, value)?,
        "limits.client_messages_per_second" => limits.client.messages.per_second = read(key, value)?,
        "limits.client_messages_burst" => limits.client.messages.burst = read(key, value)?,
        "limits.patience_ms" => limits.patience = time(key, value)?,
        "queues.client_frames" => hub.client_queue.frames = read(key, value)?,
        "queues.device_frames" => hub.device_queue.frames = read(key, value)?,
        "queues.held_frames" => hub.held.frames = read(key, value)?,
        "queues.held_bytes" => hub.held.bytes = read(key, value)?,
        "queues.full_wait_ms" => hub.full_wait = time(key, value)?,
        "devices.clients_per_device" => hub.clients_per_device = read(key, value)?,
        "devices.grace_ms" => hub.device_grace = time(key, value)?,
        "devices.probe_ms" => hub.probe = time(key, value)?,
        "clients.wait_ms" => hub.client_wait = time(key, value)?,
        "clients.waiting_per_device" => hub.waiting_per_device = read(key, value)?,
        "clients.waiting" => hub.waiting = read(key, value)?,
        "clients.grace_ms" => hub.client_grace = time(key, value)?,
        "ice.servers" => ice.servers = read::<Vec<IceServer>>(key, value)?.into_iter().map(Into::into).collect(),
        _ => return Err(SettingsError::UnknownKey(key.to_owned())),
    }
    Ok(())
}

fn time(key: &str, value: &Value) -> Result<Duration, SettingsError> {
    read(key, value).map(Duration::from_millis)
}

fn read<T: DeserializeOwned>(key: &str, value: &Value) -> Result<T, SettingsError> {
    serde_json::from_value(value.clone()).map_err(|error| SettingsError::Value(key.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::embedded;

    #[test]
    fn every_key_that_a_transcript_names_can_be_served() {
        for transcript in embedded().expect("valid") {
            let settings = settings_with(&transcript.settings).expect("known keys");
            assert_eq!(settings.validate(), Ok(()), "{}", transcript.name);
        }
    }

    #[test]
    fn unknown_keys_and_other_kinds_of_values_are_errors() {
        let one = |key: &str, value: Value| settings_with(&BTreeMap::from([(key.to_owned(), value)]));
        assert!(matches!(one("clients.wait", 1.into()), Err(SettingsError::UnknownKey(_))));
        assert!(matches!(one("clients.wait_ms", "1".into()), Err(SettingsError::Value(..))));
    }
}
