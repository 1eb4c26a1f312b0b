//! The rules of the hub, seen from outside.

mod attack;
mod greeting;
mod identity;
mod lease;
mod lifecycle;
mod observer;
mod peer;
mod resume;
mod rules;
