//! The scenarios against a small server in this process, which can be told to misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod attacks;
mod charts;
mod comeback;
mod crowds;
mod encrypted;
mod fake;
mod load;
mod program;
mod token;
mod turns;
