//! The scenarios against a small server in this process, which can be told to misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod attacks;
mod comeback;
mod crowds;
mod fake;
mod load;
mod program;
