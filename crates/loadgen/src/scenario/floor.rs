//! `floor`: the same load on the least that a relay can be, in a process of its own.

use std::path::PathBuf;
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
    let mut relay = Child::start(&options.program, &[SUBCOMMAND.to_owned()])?;
    let address = relay.line().await?;
    let report = pairs::run(&pairs::Options {
        target: Target::Floor(address.parse().context("the relay prints no address")?),
        shape: options.shape,
        warmup: options.warmup,
        duration: options.duration,
        meter: Some(Meter::new(relay.pid()?)?),
    })
    .await?;
    relay.stop().await?;
    Ok(report)
}

/// The relay: prints its address, and ends when the parent does.
///
/// # Errors
/// When it can't listen or accept.
pub async fn serve() -> Result<()> {
    crate::descriptors::make_room(1024)?;
    let floor = Floor::bind().await?;
    println!("{}", floor.address()?);
    tokio::select! {
        result = floor.run() => Ok(result?),
        () = parent_gone() => Ok(()),
    }
}
