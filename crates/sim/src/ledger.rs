//! What has to be true, from what the peers were sent.
//!
//! Every payload names who it is for and counts up, so that a loss, a double, a wrong order and a wrong address show as
//! soon as somebody reads it.

use std::collections::HashMap;

/// A client connection; never used again in a run.
pub(crate) type ClientKey = u64;
/// One life of a device in the hub, from its registration until it is gone for good.
pub(crate) type Life = u64;

/// The book of one run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    clients: HashMap<ClientKey, Account>,
    /// Who is meant by an id, for each device id: ids are never used twice.
    names: HashMap<(usize, u32), ClientKey>,
}

#[derive(Debug, Default)]
struct Account {
    device: usize,
    sent: u64,
    arrived: u64,
    answers_sent: u64,
    answers_arrived: u64,
    told_to: Option<Life>,
    reported_gone: u64,
    left: bool,
    cut_short: bool,
}

impl Ledger {
    /// A client asks for device number `device`.
    pub(crate) fn connects(&mut self, client: ClientKey, device: usize) {
        self.clients.insert(client, Account { device, ..Account::default() });
    }

    /// The payload of the next message of `client`, longer by `more` bytes than need be.
    pub(crate) fn forward(&mut self, client: ClientKey, more: usize) -> String {
        let account = self.clients.entry(client).or_default();
        let payload = format!(r#"{{"c":{client},"d":{},"n":{},"x":"{:more$}"}}"#, account.device, account.sent, "");
        account.sent += 1;
        payload
    }

    /// The payload of a device's next message to `client`, longer by `more` bytes than need be.
    pub(crate) fn answer(&mut self, client: ClientKey, more: usize) -> String {
        let account = self.clients.entry(client).or_default();
        let payload = format!(r#"{{"c":{client},"n":{},"x":"{:more$}"}}"#, account.answers_sent, "");
        account.answers_sent += 1;
        payload
    }

    /// A device has read a `client_msg`. Gives the client it came from.
    pub(crate) fn device_reads(
        &mut self,
        device: usize,
        life: Life,
        id: u32,
        payload: &serde_json::Value,
    ) -> ClientKey {
        let field = |name: &str| payload[name].as_u64().expect("a number");
        let client = field("c");
        assert_eq!(field("d"), device as u64, "a message for another device");
        let named = *self.names.entry((device, id)).or_insert(client);
        assert_eq!(named, client, "an id was used for a second client");
        let account = self.clients.get_mut(&client).expect("a client that connected");
        assert_eq!(field("n"), account.arrived, "a message was lost, doubled or overtaken");
        assert_eq!(account.reported_gone, 0, "a message of a client after its client_disconnected");
        assert!(account.told_to.is_none_or(|told| told == life), "a client moved to another life of the device");
        account.arrived += 1;
        account.told_to = Some(life);
        client
    }

    /// A device has read a `client_disconnected`. Gives the client, if the device had heard of it.
    pub(crate) fn device_reads_gone(&mut self, device: usize, life: Life, id: u32) -> Option<ClientKey> {
        let client = *self.names.get(&(device, id))?;
        let account = self.clients.get_mut(&client)?;
        account.reported_gone += 1;
        // Beyond the one notice, each is the answer to a message to a client that was gone.
        assert!(account.reported_gone <= 1 + account.answers_sent, "client_disconnected more often than once");
        // To a later life of the device, all clients of the former are gone.
        assert!(account.left || account.told_to != Some(life), "client_disconnected for a client that is there");
        Some(client)
    }

    /// A client has read a `device_msg`.
    pub(crate) fn client_reads(&mut self, client: ClientKey, payload: &serde_json::Value) {
        assert_eq!(payload["c"].as_u64(), Some(client), "a message for another client");
        let account = self.clients.get_mut(&client).expect("a client that connected");
        assert_eq!(payload["n"].as_u64(), Some(account.answers_arrived), "a message was lost, doubled or overtaken");
        account.answers_arrived += 1;
    }

    /// The client is leaving, or being closed: from now on it may be reported gone.
    pub(crate) fn leaves(&mut self, client: ClientKey) {
        self.clients.entry(client).or_default().left = true;
    }

    /// Some of what the client sent or was sent was given up together with a connection, with a clear reason.
    pub(crate) fn cut_short(&mut self, client: ClientKey) {
        self.clients.entry(client).or_default().cut_short = true;
    }

    /// Everything is delivered and `client` is still attached: both directions are complete.
    pub(crate) fn check_complete(&self, client: ClientKey) {
        let account = &self.clients[&client];
        if !account.cut_short {
            assert_eq!(account.arrived, account.sent, "messages of client {client} never arrived");
            assert_eq!(account.answers_arrived, account.answers_sent, "messages to client {client} never arrived");
        }
    }

    /// Every client has left and everything is delivered: each that the device of `life` was told of is reported gone.
    pub(crate) fn check_reported(&self, life: Life) {
        for (client, account) in self.clients.iter().filter(|(_, account)| account.told_to == Some(life)) {
            assert!(account.reported_gone >= 1, "client {client} was never reported gone");
            assert!(
                account.answers_sent > 0 || account.reported_gone == 1,
                "client {client} was reported more than once"
            );
        }
    }
}
