//! `fan-in`: many clients on each device, which answers each of them.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::pairs;
use crate::fault::total;
use crate::table::{self, Table};

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Devices.
    pub devices: usize,
    /// Clients of each.
    pub clients_per_device: usize,
    /// What was measured. Its pairs are the devices.
    #[serde(flatten)]
    pub load: pairs::Report,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "fan-in";

    fn faults(&self) -> u64 {
        total(&self.load.faults)
    }
}

/// Runs it: as `pairs`, with several clients for each device.
///
/// # Errors
/// As `pairs`.
pub async fn run(options: &pairs::Options) -> Result<Report> {
    ensure!(options.shape.fan > 0, "there must be a client for each device");
    let load = pairs::run(options).await?;
    Ok(Report { devices: options.shape.pairs, clients_per_device: options.shape.fan, load })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.row("devices", format!("{}, each with {} clients", self.devices, self.clients_per_device));
        table.row("payload", self.load.shape.describe());
        table.window(&self.load.window);
        if let Some(memory) = &self.load.memory {
            table.memory(memory);
        }
        write!(f, "{table}{}", table::faults(&self.load.faults))
    }
}
