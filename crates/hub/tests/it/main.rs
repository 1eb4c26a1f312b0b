//! The rules of the hub, seen from outside.

mod lifecycle;
mod peer;
mod resume;
mod rules;
