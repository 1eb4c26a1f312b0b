//! Scenarios of those who mean harm, or do not care.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use cuttlebone_loadgen::scenario::{hostile, isolation};
use cuttlebone_loadgen::{Shape, disturb, own_program};

use super::common::{
    ArrivalsArgs, BesideArgs, OutputArgs, PrefixArgs, RoundsArgs, ServerArgs, SizesArgs, TargetArgs, above_zero,
    seconds,
};

/// The attacks.
#[derive(Debug, Args)]
pub(crate) struct AttackArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Attacks under way at once
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,
    /// Seconds of attack
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    duration: Duration,
    /// Milliseconds between two bursts of one attack
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pace_ms: u64,
    /// Repeats the choice of attacks
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl AttackArgs {
    pub(crate) fn orders(&self) -> Result<cuttlebone_loadgen::hostile::Orders> {
        Ok(cuttlebone_loadgen::hostile::Orders {
            endpoint: self.server.endpoint()?,
            connections: self.connections,
            duration: self.duration,
            pace: Duration::from_millis(self.pace_ms),
            seed: self.seed,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct HostileArgs {
    #[command(flatten)]
    attack: AttackArgs,
    #[command(flatten)]
    prefix: PrefixArgs,
    #[command(flatten)]
    beside: BesideArgs,
    /// Seconds after the attack before memory is read
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    recover: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl HostileArgs {
    pub(crate) fn options(&self) -> Result<hostile::Options> {
        Ok(hostile::Options {
            program: own_program()?,
            arguments: self.attack.server.trust.arguments(),
            orders: self.attack.orders()?,
            prefix: self.prefix.prefix(),
            beside: self.beside.shape(),
            quiet: self.beside.quiet,
            recover: self.recover,
            meter: self.output.meter()?,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct IsolationArgs {
    #[command(subcommand)]
    disturbance: Disturbance,
}

#[derive(Debug, Subcommand)]
enum Disturbance {
    /// One viewer of the honest device sends and never reads the answers
    #[command(after_help = "Example: loadgen isolation viewer --url ws://127.0.0.1:8080 --clients 63 --rate 1000")]
    Viewer(ViewerArgs),
    /// One address sends and connects at a multiple of its limits
    #[command(
        after_help = "Example: loadgen isolation address --url ws://127.0.0.1:8080 --pairs 50 --rate 1000 --source \
        127.0.0.66 --times 20"
    )]
    Address(AddressArgs),
}

#[derive(Debug, Args)]
struct HonestArgs {
    #[command(flatten)]
    at: TargetArgs,
    /// Messages a second of all honest clients together
    #[arg(long, value_name = "R", default_value = "1000", value_parser = above_zero)]
    rate: f64,
    #[command(flatten)]
    arrivals: ArrivalsArgs,
    #[command(flatten)]
    sizes: SizesArgs,
    #[command(flatten)]
    rounds: RoundsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ViewerArgs {
    /// Honest clients of the device
    #[arg(long, value_name = "N", default_value_t = 63)]
    clients: usize,
    /// Messages a second of the viewer that never reads
    #[arg(long, value_name = "R", default_value = "200", value_parser = above_zero)]
    viewer_rate: f64,
    /// Bytes of its payloads
    #[arg(long, value_name = "BYTES", default_value_t = 8000)]
    viewer_payload: usize,
    #[command(flatten)]
    honest: HonestArgs,
}

#[derive(Debug, Args)]
struct AddressArgs {
    /// Honest pairs
    #[arg(long, value_name = "N", default_value_t = 50)]
    pairs: usize,
    /// The greedy address
    #[arg(long, value_name = "IP", default_value = "127.0.0.66")]
    source: IpAddr,
    /// How many times the limits it goes
    #[arg(long, value_name = "N", default_value = "20", value_parser = above_zero)]
    times: f64,
    /// The limit of messages a second of a client
    #[arg(long, value_name = "R", default_value_t = 50.0)]
    message_limit: f64,
    /// The limit of connections a second of an address
    #[arg(long, value_name = "R", default_value_t = 20.0)]
    connect_limit: f64,
    /// Its clients
    #[arg(long, value_name = "N", default_value_t = 4)]
    greedy_clients: usize,
    /// Bytes of its payloads
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    greedy_payload: usize,
    #[command(flatten)]
    honest: HonestArgs,
}

impl IsolationArgs {
    pub(crate) fn output(&self) -> &OutputArgs {
        match &self.disturbance {
            Disturbance::Viewer(args) => &args.honest.output,
            Disturbance::Address(args) => &args.honest.output,
        }
    }

    pub(crate) fn options(&self) -> Result<isolation::Options> {
        match &self.disturbance {
            Disturbance::Viewer(args) => {
                let kind = disturb::Kind::NeverReads {
                    device_id: isolation::Options::disturbed_device(&args.honest.at.prefix()),
                    per_second: args.viewer_rate,
                    payload: args.viewer_payload,
                };
                args.honest.options(1, args.clients, kind)
            }
            Disturbance::Address(args) => {
                let kind = disturb::Kind::Greedy {
                    source: args.source,
                    clients: args.greedy_clients,
                    messages_per_second: args.times * args.message_limit,
                    connects_per_second: args.times * args.connect_limit,
                    payload: args.greedy_payload,
                };
                args.honest.options(args.pairs, 1, kind)
            }
        }
    }
}

impl HonestArgs {
    fn options(&self, pairs: usize, fan: usize, kind: disturb::Kind) -> Result<isolation::Options> {
        Ok(isolation::Options {
            program: own_program()?,
            arguments: self.at.server.trust.arguments(),
            endpoint: self.at.endpoint()?,
            prefix: self.at.prefix(),
            shape: Shape {
                pairs,
                fan,
                sizes: self.sizes.sizes(),
                in_flight: 1,
                rate: cuttlebone_loadgen::Rate::PerSecond(self.rate, self.arrivals.arrivals()),
                connect_rate: 200.0,
            },
            kind,
            duration: self.rounds.time.duration,
            warmup: self.rounds.time.warmup,
            rounds: self.rounds.rounds,
            meter: self.output.meter()?,
        })
    }
}

/// The orders of a worker of `isolation`.
#[derive(Debug, Args)]
pub(crate) struct DisturbArgs {
    #[command(flatten)]
    at: TargetArgs,
    #[arg(long, value_enum)]
    kind: DisturbName,
    #[arg(long, default_value_t = 1500)]
    payload: usize,
    #[arg(long, default_value_t = 0.0)]
    messages: f64,
    #[arg(long)]
    device_id: Option<String>,
    #[arg(long)]
    source: Option<IpAddr>,
    #[arg(long, default_value_t = 0)]
    clients: usize,
    #[arg(long, default_value_t = 0.0)]
    connects: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DisturbName {
    #[value(name = "never_reads")]
    NeverReads,
    #[value(name = "greedy")]
    Greedy,
}

impl DisturbArgs {
    pub(crate) fn orders(&self) -> Result<disturb::Orders> {
        let kind = match self.kind {
            DisturbName::NeverReads => disturb::Kind::NeverReads {
                device_id: self.device_id.clone().context("which device?")?,
                per_second: self.messages,
                payload: self.payload,
            },
            DisturbName::Greedy => disturb::Kind::Greedy {
                source: self.source.context("from which address?")?,
                clients: self.clients,
                messages_per_second: self.messages,
                connects_per_second: self.connects,
                payload: self.payload,
            },
        };
        Ok(disturb::Orders { endpoint: self.at.endpoint()?, prefix: self.at.prefix(), kind })
    }
}
