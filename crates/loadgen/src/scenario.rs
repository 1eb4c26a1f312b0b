//! The scenarios: each takes options, runs, and returns a report that can be printed and written as JSON.

use std::fmt::Display;

use serde::Serialize;

pub mod churn;
pub mod curve;
pub mod fan_in;
pub mod floor;
pub mod hostile;
pub mod idle;
pub mod isolation;
pub mod memory;
pub mod pairs;
pub mod ratio;
pub mod register;
pub mod restart;
pub mod resume;
pub mod saturate;
pub mod storm;
pub mod versus;

/// What came of a scenario: a table as text, everything as JSON.
pub trait Report: Display + Serialize {
    /// Its name, as on the command line.
    const SCENARIO: &'static str;

    /// How much went wrong that a server with nothing to hide would not do.
    fn faults(&self) -> u64;
}
