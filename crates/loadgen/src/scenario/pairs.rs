//! `pairs`: how fast, how late, at which cost.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::descriptors;
use crate::fault::{Faults, total};
use crate::load::{Load, Shape, Target, Window};
use crate::meter::{Memory, Meter, resident};
use crate::sizes::Sizes;
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
    /// Bytes of a payload, or `session`.
    pub payload_bytes: Sizes,
    /// Messages of a pair under way at once, in the closed loop.
    pub in_flight: usize,
    /// What was measured.
    #[serde(flatten)]
    pub window: Window,
    /// Of the server.
    pub memory: Option<Memory>,
    /// What went wrong, from beginning to end.
    pub faults: Faults,
    /// The load.
    #[serde(skip)]
    pub shape: Shape,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "pairs";

    fn faults(&self) -> u64 {
        total(&self.faults)
    }
}

/// Runs it.
///
/// # Errors
/// When the options are impossible, no pair can be connected, or the process to look at is gone. What goes wrong with
/// some of the pairs is in the report.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { target, shape, warmup, duration, meter } = options;
    descriptors::make_room(shape.connections())?;
    descriptors::server_has_room(*meter, shape.connections())?;
    let before_bytes = resident(*meter)?;
    let load = Load::start(target, *shape).await?;
    tokio::time::sleep(*warmup).await;
    let window = load.window(*duration, *meter).await?;
    let loaded_bytes = resident(*meter)?;
    let faults = load.stop().await;
    let after_bytes = resident(*meter)?;
    let memory = meter.map(|_| Memory {
        before_bytes,
        peak_bytes: loaded_bytes.max(before_bytes).max(after_bytes),
        after_bytes,
    });
    let Shape { pairs, sizes, in_flight, .. } = *shape;
    Ok(Report { pairs, payload_bytes: sizes, in_flight, window, memory, faults, shape: *shape })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.row("pairs", self.pairs);
        table.row("payload", self.shape.describe());
        table.window(&self.window);
        if let Some(memory) = &self.memory {
            table.memory(memory);
        }
        write!(f, "{table}{}", table::faults(&self.faults))
    }
}
