//! Scenarios of connections that end and come again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use cuttlebone_loadgen::scenario::{restart, resume};
use cuttlebone_loadgen::{Ending, Plan};

use super::common::{ArrivalsArgs, JsonArgs, OutputArgs, SizesArgs, TargetArgs, above_zero, seconds};

/// Who is there.
#[derive(Debug, Args)]
struct PlanArgs {
    /// Clients, which send and resume
    #[arg(long, value_name = "N", default_value_t = 100)]
    clients: usize,
    /// Clients of a device
    #[arg(long, value_name = "N", default_value_t = 10)]
    clients_per_device: usize,
    /// Devices (default: as many as the clients need)
    #[arg(long, value_name = "N")]
    devices: Option<usize>,
    /// Messages a second over all clients; what is due while a client is away is sent when it is back
    #[arg(long, value_name = "R", default_value = "500", value_parser = above_zero)]
    rate: f64,
    #[command(flatten)]
    arrivals: ArrivalsArgs,
    #[command(flatten)]
    sizes: SizesArgs,
    /// Connections that begin in a second, at first
    #[arg(long, value_name = "R", default_value = "500", value_parser = above_zero)]
    connect_rate: f64,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Seconds between
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    pause: Duration,
    /// Seconds that each return may take
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    patience: Duration,
}

impl PlanArgs {
    fn plan(&self, at: &TargetArgs) -> Result<Plan> {
        let needed = self.clients.div_ceil(self.clients_per_device.max(1)).max(1);
        Ok(Plan {
            endpoint: at.endpoint()?,
            prefix: at.prefix(),
            devices: self.devices.unwrap_or(needed),
            clients: self.clients,
            clients_per_device: self.clients_per_device,
            per_second: self.rate,
            arrivals: self.arrivals.arrivals(),
            sizes: self.sizes.sizes(),
            connect_rate: self.connect_rate,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    at: TargetArgs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ResumeArgs {
    pub(crate) fn options(&self) -> Result<resume::Options> {
        let PlanArgs { rounds, pause, patience, .. } = self.plan;
        let plan = self.plan.plan(&self.at)?;
        Ok(resume::Options { plan, rounds, pause, patience, meter: self.output.meter()? })
    }
}

#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    at: TargetArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Starts the server; without it, somebody else has to restart it
    #[arg(long, value_name = "LINE")]
    command: Option<String>,
    /// How the server is ended
    #[arg(long, value_enum, default_value = "term")]
    signal: SignalName,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SignalName {
    Term,
    Kill,
}

impl RestartArgs {
    pub(crate) fn options(&self) -> Result<restart::Options> {
        let PlanArgs { rounds, pause, patience, .. } = self.plan;
        let ending = match self.signal {
            SignalName::Term => Ending::Term,
            SignalName::Kill => Ending::Kill,
        };
        let restarter = match self.command.clone() {
            Some(line) => restart::Restarter::Command { line, ending },
            None => restart::Restarter::Caller(restart::Notice(Arc::new(move |n| {
                eprintln!("loadgen: restart the server now ({} of {rounds})", n + 1);
            }))),
        };
        Ok(restart::Options { plan: self.plan.plan(&self.at)?, restarter, rounds, pause, patience })
    }
}
