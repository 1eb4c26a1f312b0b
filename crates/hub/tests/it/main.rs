//! The rules of the hub, seen from outside.

mod attack;
mod greeting;
mod identity;
mod lifecycle;
mod observer;
mod peer;
mod resume;
mod rules;
