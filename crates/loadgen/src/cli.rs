//! The command line, and the options made of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use cuttlebone_client::{Endpoint, Trust};
use cuttlebone_loadgen::hostile::Orders;
use cuttlebone_loadgen::scenario::{floor, hostile, idle, pairs, ratio, register};
use cuttlebone_loadgen::{Meter, Rate, Shape, Target, own_program};

/// Puts a signaling server under load and says how fast, how late and at which cost it answers.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pairs of a device and a client send messages round: rate, latency, CPU, memory
    Pairs(PairsArgs),
    /// Connections on which nothing happens: memory of each
    Idle(IdleArgs),
    /// Many devices register at once, beside pairs at work
    Register(RegisterArgs),
    /// The same load as `pairs` on a plain TCP relay: what the machine and tokio cost
    Floor(FloorArgs),
    /// `floor` and `pairs` in turns: CPU of a forward as a multiple of the floor
    Ratio(RatioArgs),
    /// Random attacks beside honest pairs; only on a server of this machine
    Hostile(HostileArgs),
    #[command(name = floor::SUBCOMMAND, hide = true)]
    FloorServer,
    #[command(name = hostile::SUBCOMMAND, hide = true)]
    HostileWorker(AttackArgs),
}

/// Which server.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The server, such as ws://127.0.0.1:8080 (also http, wss, https; a path is a prefix)
    #[arg(long, value_name = "URL")]
    url: String,
    /// Trust this certificate authority (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust exactly the certificate with this SHA-256 (hex)
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// Trust any certificate
    #[arg(long)]
    insecure: bool,
}

impl ServerArgs {
    fn endpoint(&self) -> Result<Endpoint> {
        let endpoint = Endpoint::parse(&self.url)?;
        let trust = match (&self.ca, &self.fingerprint, self.insecure) {
            (None, None, false) => return Ok(endpoint),
            (Some(file), None, false) => {
                let text = std::fs::read_to_string(file);
                Trust::Pem(text.with_context(|| format!("cannot read {}", file.display()))?)
            }
            (None, Some(hex), false) => Trust::fingerprint(hex).context("--fingerprint wants 64 hex digits")?,
            (None, None, true) => Trust::Insecure,
            _ => bail!("only one of --ca, --fingerprint and --insecure can be given"),
        };
        Ok(endpoint.with_trust(trust)?)
    }

    /// The same once more, for a child process.
    fn trust_arguments(&self) -> Vec<String> {
        let ca = self.ca.as_ref().map(|file| ["--ca".to_owned(), file.display().to_string()]);
        let fingerprint = self.fingerprint.as_ref().map(|hex| ["--fingerprint".to_owned(), hex.clone()]);
        let insecure = self.insecure.then(|| "--insecure".to_owned());
        ca.into_iter().chain(fingerprint).flatten().chain(insecure).collect()
    }
}

/// How the device ids begin.
#[derive(Debug, Args)]
pub(crate) struct PrefixArgs {
    /// Device ids begin with this (default: a name with this process's id)
    #[arg(long, value_name = "ID")]
    prefix: Option<String>,
}

impl PrefixArgs {
    fn prefix(&self) -> String {
        self.prefix.clone().unwrap_or_else(|| format!("loadgen-{}", std::process::id()))
    }

    fn target(&self, server: &ServerArgs) -> Result<Target> {
        Ok(Target::Server { endpoint: server.endpoint()?, prefix: self.prefix() })
    }
}

/// What is looked at, and where the result goes.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// The server's process id, for CPU and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Also write the result as JSON; `-` for standard output instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl OutputArgs {
    fn meter(&self) -> Result<Option<Meter>> {
        self.pid.map(Meter::new).transpose()
    }
}

/// How much load.
#[derive(Debug, Args)]
pub(crate) struct ShapeArgs {
    /// Pairs of a device and a client
    #[arg(long, default_value_t = 50)]
    pairs: usize,
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    payload: usize,
    /// Messages of a pair that may be under way at once
    #[arg(long, value_name = "K", default_value_t = 1)]
    in_flight: usize,
    /// Messages a second over all pairs, or `closed-loop`: send as soon as an answer makes room
    #[arg(long, value_name = "R", default_value = "closed-loop", value_parser = rate)]
    rate: Rate,
    /// Pairs that are connected in a second
    #[arg(long, value_name = "R", default_value_t = 200.0)]
    connect_rate: f64,
}

impl ShapeArgs {
    fn shape(&self) -> Shape {
        Shape {
            pairs: self.pairs,
            payload: self.payload,
            in_flight: self.in_flight,
            rate: self.rate,
            connect_rate: self.connect_rate,
        }
    }
}

/// How long.
#[derive(Debug, Args)]
pub(crate) struct TimeArgs {
    /// Seconds that are measured
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    duration: Duration,
    /// Seconds of the same load before
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    warmup: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct PairsArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    prefix: PrefixArgs,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl PairsArgs {
    pub(crate) fn options(&self) -> Result<pairs::Options> {
        Ok(pairs::Options {
            target: self.prefix.target(&self.server)?,
            shape: self.shape.shape(),
            warmup: self.time.warmup,
            duration: self.time.duration,
            meter: self.output.meter()?,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct FloorArgs {
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    time: TimeArgs,
    /// Also write the result as JSON; `-` for standard output instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl FloorArgs {
    pub(crate) fn options(&self) -> Result<floor::Options> {
        floor_options(&self.shape, &self.time)
    }
}

fn floor_options(shape: &ShapeArgs, time: &TimeArgs) -> Result<floor::Options> {
    Ok(floor::Options { program: own_program()?, shape: shape.shape(), warmup: time.warmup, duration: time.duration })
}

#[derive(Debug, Args)]
pub(crate) struct RatioArgs {
    #[command(flatten)]
    pairs: PairsArgsOfRatio,
    /// How often both are measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The load of `ratio`: that of `pairs`.
#[derive(Debug, Args)]
pub(crate) struct PairsArgsOfRatio {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    prefix: PrefixArgs,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    time: TimeArgs,
}

impl RatioArgs {
    pub(crate) fn options(&self) -> Result<ratio::Options> {
        let PairsArgsOfRatio { server, prefix, shape, time } = &self.pairs;
        Ok(ratio::Options {
            floor: floor_options(shape, time)?,
            server: pairs::Options {
                target: prefix.target(server)?,
                shape: shape.shape(),
                warmup: time.warmup,
                duration: time.duration,
                meter: self.output.meter()?,
            },
            rounds: self.rounds,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    prefix: PrefixArgs,
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
            endpoint: self.server.endpoint()?,
            prefix: self.prefix.prefix(),
            connections: self.connections,
            relay: self.relay,
            connect_rate: self.connect_rate,
            settle: self.settle,
            meter: self.output.meter()?,
        })
    }
}

/// Honest pairs beside something else.
#[derive(Debug, Args)]
pub(crate) struct BesideArgs {
    /// Honest pairs that go on meanwhile
    #[arg(long, value_name = "M", default_value_t = 10)]
    beside_pairs: usize,
    /// Their messages a second, all together, or `closed-loop`
    #[arg(long, value_name = "R", default_value = "500", value_parser = rate)]
    beside_rate: Rate,
    /// Bytes of their payloads
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    payload: usize,
    /// Seconds to look at them before
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    quiet: Duration,
}

impl BesideArgs {
    fn shape(&self) -> Shape {
        Shape {
            pairs: self.beside_pairs,
            payload: self.payload,
            in_flight: 16,
            rate: self.beside_rate,
            connect_rate: 200.0,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    prefix: PrefixArgs,
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
            target: self.prefix.target(&self.server)?,
            devices: self.devices,
            at_once: self.at_once,
            beside: self.beside.shape(),
            quiet: self.beside.quiet,
            meter: self.output.meter()?,
        })
    }
}

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
    pub(crate) fn orders(&self) -> Result<Orders> {
        Ok(Orders {
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
            arguments: self.attack.server.trust_arguments(),
            orders: self.attack.orders()?,
            prefix: self.prefix.prefix(),
            beside: self.beside.shape(),
            quiet: self.beside.quiet,
            recover: self.recover,
            meter: self.output.meter()?,
        })
    }
}

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn rate(text: &str) -> Result<Rate> {
    if text == "closed-loop" {
        return Ok(Rate::ClosedLoop);
    }
    let rate: f64 = text.parse().context("a number or closed-loop")?;
    anyhow::ensure!(rate > 0.0 && rate.is_finite(), "must be above 0");
    Ok(Rate::PerSecond(rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rates_are_numbers_or_the_closed_loop() {
        assert_eq!(rate("closed-loop").unwrap(), Rate::ClosedLoop);
        assert_eq!(rate("12.5").unwrap(), Rate::PerSecond(12.5));
        for bad in ["", "0", "-1", "inf", "NaN", "fast"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
