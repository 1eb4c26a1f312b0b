//! Rust SDK: the device role and the client role.
