//! `register`: how long until many devices are registered, while others go on.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::Instant;

use crate::crowd::{Arrival, Crowd, Member};
use crate::descriptors;
use crate::fault::{Fault, Faults, count, total};
use crate::link::dial::{Dial, sources};
use crate::load::{Load, Shape, Target, Window};
use crate::meter::Meter;
use crate::table::{self, Table, section};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server, and how the ids of our devices begin.
    pub target: Target,
    /// Devices to register.
    pub devices: usize,
    /// Handshakes under way at once.
    pub at_once: usize,
    /// The pairs beside them.
    pub beside: Shape,
    /// How long to look at the pairs before.
    pub quiet: Duration,
    /// The server's process, if it is on this machine.
    pub meter: Option<Meter>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Devices that were registered.
    pub devices: usize,
    /// From the first handshake to the last registration.
    pub seconds: f64,
    /// Registrations in a second.
    pub per_second: f64,
    /// The pairs before.
    pub quiet: Window,
    /// The pairs meanwhile.
    pub meanwhile: Window,
    /// What went wrong with the devices.
    pub device_faults: Faults,
    /// What went wrong with the pairs.
    pub pair_faults: Faults,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "register";

    fn faults(&self) -> u64 {
        total(&self.device_faults) + total(&self.pair_faults)
    }
}

/// Runs it.
///
/// # Errors
/// As `pairs`.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { target, devices, at_once, beside, quiet, meter } = options;
    let Target::Server { endpoint, prefix } = target else { anyhow::bail!("the floor registers nothing") };
    let connections = devices + beside.connections();
    descriptors::make_room(connections)?;
    descriptors::server_has_room(*meter, connections)?;
    let load = Load::start(target, *beside).await?;
    let quiet = load.window(*quiet, *meter).await?;
    let crowd = Crowd::new(Arrival {
        dial: Dial::from(endpoint),
        sources: sources(endpoint, *devices).await?,
        prefix: format!("{prefix}-registered"),
        at_once: *at_once,
        per_second: None,
    });
    let registering = async {
        let start = Instant::now();
        crowd.bring(*devices, Member::Device).await;
        start.elapsed().as_secs_f64()
    };
    let (meanwhile, seconds) = load.watch(registering, *meter).await?;
    let (registered, mut device_faults) = (crowd.len(), crowd.faults());
    let missing = devices.saturating_sub(registered) as u64;
    if missing > 0 && device_faults.is_empty() {
        count(&mut device_faults, &Fault::Unanswered(missing));
    }
    let pair_faults = load.stop().await;
    crowd.stop().await;
    Ok(Report {
        devices: registered,
        seconds,
        per_second: registered as f64 / seconds,
        quiet,
        meanwhile,
        device_faults,
        pair_faults,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.row("devices registered", self.devices);
        table.row("in", format!("{:.2} s ({:.0} /s)", self.seconds, self.per_second));
        writeln!(f, "{table}")?;
        section(f, "The pairs before", &self.quiet)?;
        section(f, "The pairs meanwhile", &self.meanwhile)?;
        write!(f, "devices: {}pairs: {}", table::faults(&self.device_faults), table::faults(&self.pair_faults))
    }
}
