//! What a seat asks of the directory of devices, and the answers.
//!
//! A seat that asked reads nothing more from its peer until the answer is fed back. Today the registry of this node
//! answers; a directory over several nodes can do so as well, and takes its time.

use std::sync::Arc;

use cuttlebone_proto::{DeviceId, Reject, Resume};

use crate::config::{ConfigFor, WriteConfig};
use crate::device::Attachment;
use crate::mailbox::{Charge, Mailbox};
use crate::party::{Address, Party};
use crate::registry::{Registration, Waiting};

/// Something slow that a seat needs.
#[derive(Debug)]
pub enum Request {
    /// Register a device.
    Register(RegisterRequest),
    /// Attach a client to a device.
    Attach(AttachRequest),
}

/// A device wants its id.
#[derive(Debug)]
pub struct RegisterRequest {
    pub(crate) address: Address,
    pub(crate) party: Option<Arc<Party>>,
    pub(crate) device_info: Arc<str>,
    /// What of it counts, once there was room for it.
    pub(crate) charge: Option<Charge>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) small_reader: bool,
}

/// A client wants its device.
#[derive(Debug)]
pub struct AttachRequest {
    pub(crate) address: Address,
    pub(crate) party: Option<Arc<Party>>,
    pub(crate) resume: Resume,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Whether its `config` is to say which paths it should use.
    pub(crate) asks_ice_policy: bool,
    /// The `config` that it was sent, if it was.
    pub(crate) config: Option<Arc<str>>,
    /// It has waited for it already.
    pub(crate) repeated: bool,
}

impl RegisterRequest {
    /// The id that the device asks for.
    #[must_use]
    pub fn device_id(&self) -> &DeviceId {
        &self.address.device_id
    }
}

impl AttachRequest {
    /// The device that the client asks for.
    #[must_use]
    pub fn device_id(&self) -> &DeviceId {
        &self.address.device_id
    }

    /// Whether the client has waited for the device already.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Whether the client asks to go on with a session.
    #[must_use]
    pub fn is_for_session(&self) -> bool {
        matches!(self.resume, Resume::Session { .. })
    }

    /// Greets the client before anything is looked up for it: without credentials, as one whose device is absent.
    pub fn greet(&mut self, config: &WriteConfig<'_>) {
        let config: Arc<str> = config(ConfigFor { is_let_in: false, asks_ice_policy: self.asks_ice_policy }).into();
        if self.config.as_ref() != Some(&config) {
            self.mailbox.reply(config.to_string());
            self.config = Some(config);
        }
    }

    /// Where the client may not reach this device (`is_hidden`), it waits where none will ever come, as it would for one that is
    /// absent. The same work either way.
    pub fn hide(&mut self, is_hidden: bool) {
        let kept = self.address.realm.clone();
        let hidden = std::mem::take(&mut self.address.realm).hidden();
        self.address.realm = if is_hidden { hidden } else { kept };
    }
}

/// The answer to a [`Request`]. Dropping one undoes what it stands for.
#[derive(Debug)]
pub enum Answer {
    /// The device is registered.
    Registered(Registration),
    /// The client is attached.
    Attached(Attachment),
    /// The device is not there; the client's mailbox gets a notice when it is.
    Waiting(Waiting),
    /// The device is not there, and clients do not wait.
    Absent,
    /// It can't be had.
    Refused(Reject),
    /// The server stops: come back to the next.
    Stopping,
}
