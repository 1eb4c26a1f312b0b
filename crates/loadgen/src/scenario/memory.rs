//! `memory`: what a server keeps after a storm of connections has passed.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use cuttlebone_client::Endpoint;
use serde::Serialize;
use tokio::time::sleep;

use crate::crowd::{Arrival, Crowd, Member};
use crate::descriptors;
use crate::fault::{Faults, add, total};
use crate::link::dial::{Dial, sources};
use crate::meter::{Memory, Meter, peak_while};
use crate::table::{self, Table};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub endpoint: Endpoint,
    /// How the ids of our devices begin.
    pub prefix: String,
    /// Devices that connect in each wave, and are then cut all at once.
    pub connections: usize,
    /// How often.
    pub waves: usize,
    /// Handshakes under way at once.
    pub at_once: usize,
    /// How long to wait after the last wave.
    pub recover: Duration,
    /// The server's process.
    pub meter: Meter,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Devices that connected and were cut, in all.
    pub connections: usize,
    /// In so many waves.
    pub waves: usize,
    /// How long the server had to recover, in seconds.
    pub recover_seconds: f64,
    /// Before, at most, and at the end.
    pub memory: Memory,
    /// The last divided by the first.
    pub memory_ratio: f64,
    /// What went wrong.
    pub faults: Faults,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "memory";

    fn faults(&self) -> u64 {
        total(&self.faults)
    }
}

/// Runs it.
///
/// # Errors
/// When the process to look at is gone, or there are too few file descriptors.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { connections, waves, meter, .. } = options;
    ensure!(*connections > 0 && *waves > 0, "there must be a connection, and a wave");
    descriptors::make_room(*connections)?;
    descriptors::server_has_room(Some(*meter), *connections)?;
    let before_bytes = meter.rss()?;
    let (mut peak_bytes, mut came, mut faults) = (before_bytes, 0, Faults::new());
    for n in 0..*waves {
        let (peak, wave) = peak_while(Some(*meter), wave(options, n)).await?;
        let (open, wrong) = wave?;
        peak_bytes = peak_bytes.max(peak);
        came += open;
        add(&mut faults, &wrong);
    }
    sleep(options.recover).await;
    let memory = Memory { before_bytes, peak_bytes, after_bytes: meter.rss()? };
    let recover_seconds = options.recover.as_secs_f64();
    let memory_ratio = memory.ratio();
    Ok(Report { connections: came, waves: *waves, recover_seconds, memory, memory_ratio, faults })
}

/// Everybody comes, and everybody goes; how many came.
async fn wave(options: &Options, n: usize) -> Result<(usize, Faults)> {
    let crowd = Crowd::new(Arrival {
        dial: Dial::from(&options.endpoint),
        sources: sources(&options.endpoint, options.connections).await?,
        prefix: format!("{}-{n}", options.prefix),
        at_once: options.at_once,
        per_second: None,
    });
    crowd.bring(options.connections, Member::Device).await;
    let seen = (crowd.len(), crowd.faults());
    crowd.stop().await;
    Ok(seen)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.row("connections", format!("{} in {} waves", self.connections, self.waves));
        table.memory(&self.memory);
        let after = format!("memory {:.0} s after", self.recover_seconds);
        table.row(&after, format!("{:.2} \u{d7} that before", self.memory_ratio));
        write!(f, "{table}{}", table::faults(&self.faults))
    }
}
