//! Where devices and clients meet: mailboxes, the registry, seats.
