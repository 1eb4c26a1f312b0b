//! The scenarios: each takes options, runs, and returns a report that can be printed and written as JSON.

pub mod floor;
pub mod hostile;
pub mod idle;
pub mod pairs;
pub mod ratio;
pub mod register;
