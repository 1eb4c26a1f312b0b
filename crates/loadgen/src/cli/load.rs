//! Scenarios of messages at work.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use cuttlebone_loadgen::scenario::{churn, curve, floor, pairs, ratio, saturate};
use cuttlebone_loadgen::{Meter, Rate, Shape, Target, own_program};

use super::common::{
    ArrivalsArgs, JsonArgs, OutputArgs, PaceArgs, RoundsArgs, ShapeArgs, SizesArgs, TargetArgs, TimeArgs, above_zero,
    seconds,
};

/// The load of `pairs`.
#[derive(Debug, Args)]
pub(crate) struct PairsLoad {
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    time: TimeArgs,
}

impl PairsLoad {
    pub(crate) fn options(&self, target: Target, meter: Option<Meter>) -> pairs::Options {
        let TimeArgs { warmup, duration } = self.time;
        pairs::Options { target, shape: self.shape.shape(), warmup, duration, meter }
    }

    fn floor(&self) -> Result<floor::Options> {
        let TimeArgs { warmup, duration } = self.time;
        Ok(floor::Options { program: own_program()?, shape: self.shape.shape(), warmup, duration })
    }
}

#[derive(Debug, Args)]
pub(crate) struct PairsArgs {
    #[command(flatten)]
    at: TargetArgs,
    #[command(flatten)]
    load: PairsLoad,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl PairsArgs {
    pub(crate) fn options(&self) -> Result<pairs::Options> {
        Ok(self.load.options(self.at.target()?, self.output.meter()?))
    }
}

/// The load of `fan-in`.
#[derive(Debug, Args)]
pub(crate) struct FanInLoad {
    /// Devices
    #[arg(long, value_name = "D", default_value_t = 10)]
    devices: usize,
    /// Clients of each device
    #[arg(long, value_name = "C", default_value_t = 50)]
    clients: usize,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    time: TimeArgs,
}

impl FanInLoad {
    pub(crate) fn options(&self, target: Target, meter: Option<Meter>) -> pairs::Options {
        let TimeArgs { warmup, duration } = self.time;
        pairs::Options { target, shape: self.pace.shape(self.devices, self.clients), warmup, duration, meter }
    }
}

#[derive(Debug, Args)]
pub(crate) struct FanInArgs {
    #[command(flatten)]
    at: TargetArgs,
    #[command(flatten)]
    load: FanInLoad,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl FanInArgs {
    pub(crate) fn options(&self) -> Result<pairs::Options> {
        Ok(self.load.options(self.at.target()?, self.output.meter()?))
    }
}

#[derive(Debug, Args)]
pub(crate) struct FloorArgs {
    #[command(flatten)]
    load: PairsLoad,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

impl FloorArgs {
    pub(crate) fn options(&self) -> Result<floor::Options> {
        self.load.floor()
    }
}

#[derive(Debug, Args)]
pub(crate) struct FloorServerArgs {
    #[arg(long, default_value_t = 1024)]
    pub(crate) connections: usize,
}

#[derive(Debug, Args)]
pub(crate) struct RatioArgs {
    #[command(flatten)]
    at: TargetArgs,
    #[command(flatten)]
    load: PairsLoad,
    /// How often both are measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl RatioArgs {
    pub(crate) fn options(&self) -> Result<ratio::Options> {
        Ok(ratio::Options {
            floor: self.load.floor()?,
            server: self.load.options(self.at.target()?, self.output.meter()?),
            rounds: self.rounds,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct SaturateArgs {
    #[command(flatten)]
    at: TargetArgs,
    /// Pairs of a device and a client
    #[arg(long, default_value_t = 50)]
    pairs: usize,
    #[command(flatten)]
    sizes: SizesArgs,
    #[command(flatten)]
    arrivals: ArrivalsArgs,
    /// Milliseconds that the p99 of a round trip must not pass
    #[arg(long, value_name = "MS", default_value = "20", value_parser = above_zero)]
    bound_ms: f64,
    /// Round trips a second to begin with
    #[arg(long, value_name = "R", default_value = "500", value_parser = above_zero)]
    first: f64,
    /// Percent to which the rate is to be found
    #[arg(long, value_name = "P", default_value = "5", value_parser = above_zero)]
    precision: f64,
    /// A rate is bad only if so many tries were
    #[arg(long, value_name = "N", default_value_t = 2)]
    tries: usize,
    /// Seconds that each rate is tried
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    step: Duration,
    #[command(flatten)]
    rounds: RoundsArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl SaturateArgs {
    pub(crate) fn options(&self) -> Result<saturate::Options> {
        let arrivals = self.arrivals.arrivals();
        Ok(saturate::Options {
            program: own_program()?,
            target: self.at.target()?,
            shape: Shape {
                pairs: self.pairs,
                fan: 1,
                sizes: self.sizes.sizes(),
                in_flight: 1,
                rate: Rate::PerSecond(self.first, arrivals),
                connect_rate: 500.0,
            },
            arrivals,
            bound: Duration::from_secs_f64(self.bound_ms / 1000.0),
            first: self.first,
            precision: self.precision / 100.0,
            tries: self.tries,
            warmup: self.rounds.time.warmup,
            step: self.step,
            duration: self.rounds.time.duration,
            rounds: self.rounds.rounds,
            meter: self.output.meter()?,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct CurveArgs {
    #[command(flatten)]
    at: TargetArgs,
    /// Numbers of pairs
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "10,100,1000,10000")]
    counts: Vec<usize>,
    /// Messages a second over all pairs
    #[arg(long, value_name = "R", default_value = "5000", value_parser = above_zero)]
    rate: f64,
    #[command(flatten)]
    arrivals: ArrivalsArgs,
    #[command(flatten)]
    sizes: SizesArgs,
    /// Pairs that are connected in a second
    #[arg(long, value_name = "R", default_value_t = 1000.0)]
    connect_rate: f64,
    #[command(flatten)]
    rounds: RoundsArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl CurveArgs {
    pub(crate) fn options(&self) -> Result<curve::Options> {
        Ok(curve::Options {
            program: own_program()?,
            target: self.at.target()?,
            shape: Shape {
                pairs: 1,
                fan: 1,
                sizes: self.sizes.sizes(),
                in_flight: 1,
                rate: Rate::PerSecond(self.rate, self.arrivals.arrivals()),
                connect_rate: self.connect_rate,
            },
            counts: self.counts.clone(),
            warmup: self.rounds.time.warmup,
            duration: self.rounds.time.duration,
            rounds: self.rounds.rounds,
            meter: self.output.needed_meter()?,
        })
    }
}

/// The load of `churn`.
#[derive(Debug, Args)]
pub(crate) struct ChurnLoad {
    /// Sessions that begin in a second
    #[arg(long, value_name = "R", default_value = "100", value_parser = above_zero)]
    rate: f64,
    #[command(flatten)]
    arrivals: ArrivalsArgs,
    /// Round trips of a session
    #[arg(long, value_name = "N", default_value_t = 3)]
    messages: u64,
    #[command(flatten)]
    sizes: SizesArgs,
    /// Cut the connections instead of closing them
    #[arg(long)]
    cut: bool,
    /// Sessions under way at once, at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    at_once: usize,
    /// Seconds in which sessions begin
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    duration: Duration,
}

impl ChurnLoad {
    pub(crate) fn options(&self, target: Target, meter: Option<Meter>) -> churn::Options {
        churn::Options {
            target,
            per_second: self.rate,
            arrivals: self.arrivals.arrivals(),
            messages: self.messages,
            sizes: self.sizes.sizes(),
            cut: self.cut,
            at_once: self.at_once,
            duration: self.duration,
            meter,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ChurnArgs {
    #[command(flatten)]
    at: TargetArgs,
    #[command(flatten)]
    load: ChurnLoad,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ChurnArgs {
    pub(crate) fn options(&self) -> Result<churn::Options> {
        Ok(self.load.options(self.at.target()?, self.output.meter()?))
    }
}
