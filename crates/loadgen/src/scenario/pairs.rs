//! `pairs`: how fast, how late, at which cost.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::descriptors;
use crate::fault::Faults;
use crate::load::{Load, Shape, Target, Window};
use crate::meter::{Memory, Meter};
use crate::table::{self, Table};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// The load.
    pub shape: Shape,
    /// Load before the measurement.
    pub warmup: Duration,
    /// Load that is measured.
    pub duration: Duration,
    /// The server's process, if it is on this machine.
    pub meter: Option<Meter>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many were asked for.
    pub pairs: usize,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// Messages of a pair under way at once.
    pub in_flight: usize,
    /// What was measured.
    #[serde(flatten)]
    pub window: Window,
    /// Of the server.
    pub memory: Option<Memory>,
    /// What went wrong, from beginning to end.
    pub faults: Faults,
}

/// Runs it.
///
/// # Errors
/// When the options are impossible, no pair can be connected, or the process to look at is gone. What goes wrong with
/// some of the pairs is in the report.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { target, shape, warmup, duration, meter } = options;
    descriptors::make_room(shape.pairs * 2)?;
    let before_bytes = rss(*meter)?;
    let load = Load::start(target, *shape).await?;
    tokio::time::sleep(*warmup).await;
    let window = load.window(*duration, *meter).await?;
    let loaded_bytes = rss(*meter)?;
    let faults = load.stop().await;
    let after_bytes = rss(*meter)?;
    let memory = meter.map(|_| Memory { before_bytes, peak_bytes: loaded_bytes.max(before_bytes), after_bytes });
    Ok(Report { pairs: shape.pairs, payload_bytes: shape.payload, in_flight: shape.in_flight, window, memory, faults })
}

fn rss(meter: Option<Meter>) -> Result<u64> {
    meter.map_or(Ok(0), |meter| meter.rss())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.row("pairs", self.pairs);
        table.row("payload", format!("{} bytes, {} in flight", self.payload_bytes, self.in_flight));
        table.window(&self.window);
        if let Some(memory) = &self.memory {
            table.memory(memory);
        }
        write!(f, "{table}{}", table::faults(&self.faults))
    }
}
