//! The handlers, one file for each topic.

pub(crate) mod assets;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod redirect;
pub(crate) mod session;
pub(crate) mod upgrade;
pub(crate) mod whoami;
