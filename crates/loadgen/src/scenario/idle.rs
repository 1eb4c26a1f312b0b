//! `idle`: what a connection costs in memory while nothing happens on it.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use cuttlebone_client::Endpoint;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::crowd::{Arrival, Crowd, Member};
use crate::descriptors;
use crate::fault::{Faults, total};
use crate::link::dial::{Dial, sources};
use crate::meter::{Memory, Meter, resident};
use crate::table::{self, Table};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub endpoint: Endpoint,
    /// How the ids of our devices begin.
    pub prefix: String,
    /// Connections in all.
    pub connections: usize,
    /// Half of them clients, and one message each way before the silence; else all are devices.
    pub relay: bool,
    /// Handshakes begun in a second.
    pub connect_rate: f64,
    /// How long to wait before memory is read.
    pub settle: Duration,
    /// The server's process, if it is on this machine.
    pub meter: Option<Meter>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Connections that were open at the end.
    pub connections: usize,
    /// Addresses they came from.
    pub source_addresses: usize,
    /// Whether the connections were encrypted.
    pub tls: bool,
    /// Whether each had carried a message.
    pub relayed: bool,
    /// How long it took to open them.
    pub connect_seconds: f64,
    /// Of the server: before, while they were open, and after they were cut.
    pub memory: Option<Memory>,
    /// What they added, divided by their number.
    pub bytes_per_connection: Option<f64>,
    /// What went wrong.
    pub faults: Faults,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "idle";

    fn faults(&self) -> u64 {
        total(&self.faults)
    }
}

/// Runs it.
///
/// # Errors
/// When the process to look at is gone, or there are too few file descriptors.
pub async fn run(options: &Options) -> Result<Report> {
    descriptors::make_room(options.connections)?;
    descriptors::server_has_room(options.meter, options.connections)?;
    let sources = sources(&options.endpoint, options.connections).await?;
    let source_addresses = sources.len();
    let before_bytes = resident(options.meter)?;
    let crowd = Crowd::new(Arrival {
        dial: Dial::from(&options.endpoint),
        sources,
        prefix: options.prefix.clone(),
        at_once: 64,
        per_second: Some(options.connect_rate),
    });
    let start = Instant::now();
    match options.relay {
        true => crowd.bring(options.connections / 2, Member::Pair).await,
        false => crowd.bring(options.connections, Member::Device).await,
    }
    let connect_seconds = start.elapsed().as_secs_f64();
    sleep(options.settle).await;
    let open_bytes = resident(options.meter)?;
    let (connections, faults) = (crowd.len(), crowd.faults());
    crowd.stop().await;
    sleep(options.settle).await;
    let after_bytes = resident(options.meter)?;
    let memory = Memory { before_bytes, peak_bytes: open_bytes.max(after_bytes), after_bytes };
    let added = open_bytes as f64 - before_bytes as f64;
    Ok(Report {
        connections,
        source_addresses,
        tls: options.endpoint.is_tls(),
        relayed: options.relay,
        connect_seconds,
        bytes_per_connection: options.meter.map(|_| added / connections.max(1) as f64),
        memory: options.meter.map(|_| memory),
        faults,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.row("connections open", self.connections);
        let addresses = if self.source_addresses == 1 { "address" } else { "addresses" };
        let tls = if self.tls { "with TLS" } else { "without TLS" };
        table.row("from", format!("{} {addresses}, {tls}", self.source_addresses));
        table.row("a message each way first", if self.relayed { "yes" } else { "no" });
        table.row("opened in", format!("{:.1} s", self.connect_seconds));
        if let Some(memory) = &self.memory {
            table.memory(memory);
        }
        if let Some(bytes) = self.bytes_per_connection {
            table.row("memory of a connection", format!("{bytes:.0} bytes"));
        }
        write!(f, "{table}{}", table::faults(&self.faults))
    }
}
