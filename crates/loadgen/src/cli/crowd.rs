//! Scenarios of many connections.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use cuttlebone_client::Endpoint;
use cuttlebone_loadgen::Meter;
use cuttlebone_loadgen::scenario::{idle, memory, register, storm};

use super::common::{BesideArgs, OutputArgs, TargetArgs, seconds};

#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    at: TargetArgs,
    /// Connections in all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    connections: usize,
    /// Half of them clients, and a message each way on each of them first
    #[arg(long)]
    relay: bool,
    /// Handshakes that begin in a second
    #[arg(long, value_name = "R", default_value_t = 1000.0)]
    connect_rate: f64,
    /// Seconds of silence before memory is read
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    settle: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl IdleArgs {
    pub(crate) fn options(&self) -> Result<idle::Options> {
        Ok(idle::Options {
            endpoint: self.at.endpoint()?,
            prefix: self.at.prefix(),
            connections: self.connections,
            relay: self.relay,
            connect_rate: self.connect_rate,
            settle: self.settle,
            meter: self.output.meter()?,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    #[command(flatten)]
    at: TargetArgs,
    /// Devices that connect in each wave, and are then cut all at once
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    connections: usize,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 3)]
    waves: usize,
    /// Handshakes under way at once
    #[arg(long, value_name = "N", default_value_t = 256)]
    at_once: usize,
    /// Seconds after the last wave before memory is read
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    recover: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl MemoryArgs {
    pub(crate) fn options(&self) -> Result<memory::Options> {
        Ok(memory::Options {
            endpoint: self.at.endpoint()?,
            prefix: self.at.prefix(),
            connections: self.connections,
            waves: self.waves,
            at_once: self.at_once,
            recover: self.recover,
            meter: self.output.needed_meter()?,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    at: TargetArgs,
    /// Devices to register
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    devices: usize,
    /// Handshakes under way at once
    #[arg(long, value_name = "N", default_value_t = 256)]
    at_once: usize,
    #[command(flatten)]
    beside: BesideArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl RegisterArgs {
    pub(crate) fn options(&self) -> Result<register::Options> {
        Ok(register::Options {
            target: self.at.target()?,
            devices: self.devices,
            at_once: self.at_once,
            beside: self.beside.shape(),
            quiet: self.beside.quiet,
            meter: self.output.meter()?,
        })
    }
}

/// The load of `storm`.
#[derive(Debug, Args)]
pub(crate) struct StormLoad {
    /// Devices that come
    #[arg(long, value_name = "N", default_value_t = 1000)]
    devices: usize,
    /// Attempts under way at once
    #[arg(long, value_name = "N", default_value_t = 1000)]
    at_once: usize,
    /// Those that are refused do not come again
    #[arg(long)]
    once: bool,
    /// Seconds that all of it may take
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    patience: Duration,
}

impl StormLoad {
    /// Without pairs beside it.
    pub(crate) fn options(&self, endpoint: Endpoint, prefix: String, meter: Option<Meter>) -> storm::Options {
        storm::Options {
            endpoint,
            prefix,
            devices: self.devices,
            at_once: self.at_once,
            again: !self.once,
            patience: self.patience,
            beside: None,
            quiet: Duration::ZERO,
            meter,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct StormArgs {
    #[command(flatten)]
    at: TargetArgs,
    #[command(flatten)]
    load: StormLoad,
    #[command(flatten)]
    beside: BesideArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl StormArgs {
    pub(crate) fn options(&self) -> Result<storm::Options> {
        let alone = self.load.options(self.at.endpoint()?, self.at.prefix(), self.output.meter()?);
        Ok(storm::Options { beside: self.beside.some_shape(), quiet: self.beside.quiet, ..alone })
    }
}
