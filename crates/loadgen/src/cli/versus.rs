//! Two servers under the same load.

use anyhow::Result;
use clap::{Args, Subcommand};
use cuttlebone_loadgen::scenario::versus;
use cuttlebone_loadgen::{Meter, Target};

use super::common::{JsonArgs, PrefixArgs, TrustArgs};
use super::crowd::StormLoad;
use super::load::{ChurnLoad, FanInLoad, PairsLoad};

#[derive(Debug, Args)]
pub(crate) struct VersusArgs {
    /// The server that is the measure
    #[arg(long, value_name = "URL")]
    a: String,
    /// The server that is measured by it
    #[arg(long, value_name = "URL")]
    b: String,
    /// The process of A, for CPU
    #[arg(long, value_name = "PID")]
    pid_a: Option<u32>,
    /// The process of B, for CPU
    #[arg(long, value_name = "PID")]
    pid_b: Option<u32>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    prefix: PrefixArgs,
    /// How often both are measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Forwards of pairs, and the latency of their round trips
    Pairs(PairsLoad),
    /// The same with many clients on each device
    FanIn(FanInLoad),
    /// Sessions that come and go, and the latency of their set-up
    Churn(ChurnLoad),
    /// Devices that come at once, and the latency of their registration
    Storm(StormLoad),
}

impl VersusArgs {
    pub(crate) fn options(&self) -> Result<versus::Options> {
        let server = |url: &str, pid: Option<u32>| -> Result<versus::Server> {
            Ok(versus::Server { endpoint: self.trust.endpoint(url)?, meter: pid.map(Meter::new).transpose()? })
        };
        let (a, b) = (server(&self.a, self.pid_a)?, server(&self.b, self.pid_b)?);
        let (endpoint, prefix) = (a.endpoint.clone(), self.prefix.prefix());
        let target = Target::Server { endpoint: endpoint.clone(), prefix: prefix.clone() };
        let scenario = match &self.load {
            Load::Pairs(load) => versus::Scenario::Pairs(load.options(target, None)),
            Load::FanIn(load) => versus::Scenario::FanIn(load.options(target, None)),
            Load::Churn(load) => versus::Scenario::Churn(load.options(target, None)),
            Load::Storm(load) => versus::Scenario::Storm(load.options(endpoint, prefix.clone(), None)),
        };
        Ok(versus::Options { a, b, prefix, scenario, rounds: self.rounds })
    }
}
