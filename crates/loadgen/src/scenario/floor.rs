//! `floor`: the same load on the least that a relay can be, in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::pairs;
use crate::child::{Child, parent_gone};
use crate::floor::Floor;
use crate::load::{Shape, Target};
use crate::meter::Meter;

/// The hidden subcommand that is the relay.
pub const SUBCOMMAND: &str = "floor-server";

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that has the hidden subcommand: this one.
    pub program: PathBuf,
    /// The load.
    pub shape: Shape,
    /// Load before the measurement.
    pub warmup: Duration,
    /// Load that is measured.
    pub duration: Duration,
}

/// Runs it. The report's CPU and memory are those of the relay.
///
/// # Errors
/// As `pairs`, and when the relay can't be started.
pub async fn run(options: &Options) -> Result<pairs::Report> {
    let Options { program, shape, warmup, duration } = options;
    let relay = Relay::start(program, shape.connections()).await?;
    let (target, meter) = (relay.target(), Some(relay.meter()));
    let options = pairs::Options { target, shape: *shape, warmup: *warmup, duration: *duration, meter };
    let report = pairs::run(&options).await?;
    relay.stop().await?;
    Ok(report)
}

/// A relay in a process of its own.
pub(crate) struct Relay {
    child: Child,
    address: SocketAddr,
    meter: Meter,
}

impl Relay {
    /// # Errors
    /// When it can't be started.
    pub(crate) async fn start(program: &Path, connections: usize) -> Result<Self> {
        let arguments = [SUBCOMMAND.to_owned(), "--connections".to_owned(), connections.to_string()];
        let mut child = Child::start(program, &arguments)?;
        let address = child.line().await?.parse().context("the relay prints no address")?;
        let meter = Meter::new(child.pid()?)?;
        Ok(Self { child, address, meter })
    }

    pub(crate) fn target(&self) -> Target {
        Target::Floor(self.address)
    }

    pub(crate) fn meter(&self) -> Meter {
        self.meter
    }

    /// # Errors
    /// When it can't be ended.
    pub(crate) async fn stop(self) -> Result<()> {
        self.child.stop().await
    }
}

/// The relay: prints its address, and ends when the parent does.
///
/// # Errors
/// When it can't listen or accept, or may not have so many connections.
pub async fn serve(connections: usize) -> Result<()> {
    crate::descriptors::make_room(connections)?;
    let floor = Floor::bind().await?;
    println!("{}", floor.address()?);
    tokio::select! {
        result = floor.run() => Ok(result?),
        () = parent_gone() => Ok(()),
    }
}
