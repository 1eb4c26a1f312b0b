//! Arguments that several scenarios have, and how values are read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use cuttlebone_client::{ClientCertificate, Endpoint, Token, Trust};
use cuttlebone_loadgen::{Arrivals, Meter, Rate, Shape, Sizes, Target};

/// Which server.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The server, such as ws://127.0.0.1:8080 (also http, wss, https; a path is a prefix)
    #[arg(long, value_name = "URL")]
    url: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

impl ServerArgs {
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        self.trust.endpoint(&self.url)
    }
}

/// Whom to believe with TLS, and what to show.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// Trust this certificate authority (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust exactly the certificate with this SHA-256 (hex)
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// Trust any certificate
    #[arg(long)]
    insecure: bool,
    /// Show the token of this file on each connection (a token on the command line would be seen by all of the machine)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Show this certificate (PEM) to a server that asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

impl TrustArgs {
    pub(crate) fn endpoint(&self, url: &str) -> Result<Endpoint> {
        let mut endpoint = self.trusting(Endpoint::parse(url)?)?;
        if let (Some(chain), Some(key)) = (&self.client_cert, &self.client_key) {
            endpoint = endpoint.with_certificate(ClientCertificate::from_pem(&text(chain)?, &text(key)?)?)?;
        }
        let Some(file) = &self.token_file else { return Ok(endpoint) };
        Ok(endpoint.with_credential(token(file).with_context(|| format!("no token in {}", file.display()))?))
    }

    fn trusting(&self, endpoint: Endpoint) -> Result<Endpoint> {
        let trust = match (&self.ca, &self.fingerprint, self.insecure) {
            (None, None, false) => return Ok(endpoint),
            (Some(file), None, false) => Trust::Pem(text(file)?),
            (None, Some(hex), false) => Trust::fingerprint(hex).context("--fingerprint wants 64 hex digits")?,
            (None, None, true) => Trust::Insecure,
            _ => bail!("only one of --ca, --fingerprint and --insecure can be given"),
        };
        Ok(endpoint.with_trust(trust)?)
    }

    /// The same once more, for a child process.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let file = |flag: &str, file: &Option<PathBuf>| {
            file.as_ref().map(|file| [flag.to_owned(), file.display().to_string()])
        };
        let files = [
            file("--ca", &self.ca),
            file("--token-file", &self.token_file),
            file("--client-cert", &self.client_cert),
            file("--client-key", &self.client_key),
        ];
        let fingerprint = self.fingerprint.as_ref().map(|hex| ["--fingerprint".to_owned(), hex.clone()]);
        let insecure = self.insecure.then(|| "--insecure".to_owned());
        files.into_iter().flatten().chain(fingerprint).flatten().chain(insecure).collect()
    }
}

fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn token(file: &Path) -> Result<Token> {
    Ok(Token::new(std::fs::read_to_string(file)?.trim_end_matches(['\r', '\n']))?)
}

/// How the device ids begin.
#[derive(Debug, Args)]
pub(crate) struct PrefixArgs {
    /// Device ids begin with this (default: a name with this process's id)
    #[arg(long, value_name = "ID")]
    prefix: Option<String>,
}

impl PrefixArgs {
    pub(crate) fn prefix(&self) -> String {
        self.prefix.clone().unwrap_or_else(|| format!("loadgen-{}", std::process::id()))
    }
}

/// Which server, and which devices there.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    prefix: PrefixArgs,
}

impl TargetArgs {
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        self.server.endpoint()
    }

    pub(crate) fn prefix(&self) -> String {
        self.prefix.prefix()
    }

    pub(crate) fn target(&self) -> Result<Target> {
        Ok(Target::Server { endpoint: self.endpoint()?, prefix: self.prefix() })
    }
}

/// What is looked at, and where the result goes.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// The server's process id, for CPU and memory
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

impl OutputArgs {
    pub(crate) fn meter(&self) -> Result<Option<Meter>> {
        self.pid.map(Meter::new).transpose()
    }

    pub(crate) fn needed_meter(&self) -> Result<Meter> {
        self.meter()?.context("the server's process id is needed (--pid)")
    }
}

/// Where the result goes.
#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Also write the result as JSON; `-` for standard output instead of the table
    #[arg(long = "json", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// How long payloads are.
#[derive(Debug, Args)]
pub(crate) struct SizesArgs {
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    payload: usize,
    /// Payloads as in a session: an offer of 3-8 kB, an answer of 2-4 kB, twenty candidates of 150-250 bytes, and again
    #[arg(long, value_enum, conflicts_with = "payload")]
    sizes: Option<SizesName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SizesName {
    Session,
}

impl SizesArgs {
    pub(crate) fn sizes(&self) -> Sizes {
        match self.sizes {
            Some(SizesName::Session) => Sizes::Session,
            None => Sizes::Fixed(self.payload),
        }
    }
}

/// When messages are due.
#[derive(Debug, Args)]
pub(crate) struct ArrivalsArgs {
    /// With a rate: equal distances, or those of independent senders
    #[arg(long, value_enum, default_value = "constant")]
    arrivals: ArrivalsName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArrivalsName {
    Constant,
    Poisson,
}

impl ArrivalsArgs {
    pub(crate) fn arrivals(&self) -> Arrivals {
        match self.arrivals {
            ArrivalsName::Constant => Arrivals::Constant,
            ArrivalsName::Poisson => Arrivals::Poisson,
        }
    }
}

/// A rate, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RateValue {
    ClosedLoop,
    PerSecond(f64),
}

impl RateValue {
    pub(crate) fn rate(self, arrivals: &ArrivalsArgs) -> Rate {
        match self {
            Self::ClosedLoop => Rate::ClosedLoop,
            Self::PerSecond(rate) => Rate::PerSecond(rate, arrivals.arrivals()),
        }
    }
}

/// How much load.
#[derive(Debug, Args)]
pub(crate) struct ShapeArgs {
    /// Pairs of a device and a client
    #[arg(long, default_value_t = 50)]
    pairs: usize,
    #[command(flatten)]
    pace: PaceArgs,
}

/// How much each sends.
#[derive(Debug, Args)]
pub(crate) struct PaceArgs {
    #[command(flatten)]
    sizes: SizesArgs,
    /// In the closed loop: messages of a client that may be under way at once
    #[arg(long, value_name = "K", default_value_t = 1)]
    in_flight: usize,
    /// Messages a second over all clients, or `closed-loop`: send as soon as an answer makes room
    #[arg(long, value_name = "R", default_value = "closed-loop", value_parser = rate)]
    rate: RateValue,
    #[command(flatten)]
    arrivals: ArrivalsArgs,
    /// Devices that are connected in a second
    #[arg(long, value_name = "R", default_value_t = 200.0)]
    connect_rate: f64,
}

impl PaceArgs {
    pub(crate) fn shape(&self, pairs: usize, fan: usize) -> Shape {
        Shape {
            pairs,
            fan,
            sizes: self.sizes.sizes(),
            in_flight: self.in_flight,
            rate: self.rate.rate(&self.arrivals),
            connect_rate: self.connect_rate,
        }
    }
}

impl ShapeArgs {
    pub(crate) fn shape(&self) -> Shape {
        self.pace.shape(self.pairs, 1)
    }
}

/// How long.
#[derive(Debug, Args)]
pub(crate) struct TimeArgs {
    /// Seconds that are measured
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// Seconds of the same load before
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    pub(crate) warmup: Duration,
}

/// How long, and how often.
#[derive(Debug, Args)]
pub(crate) struct RoundsArgs {
    #[command(flatten)]
    pub(crate) time: TimeArgs,
    /// How often it is measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) rounds: usize,
}

/// Honest pairs beside something else.
#[derive(Debug, Args)]
pub(crate) struct BesideArgs {
    /// Honest pairs that go on meanwhile
    #[arg(long, value_name = "M", default_value_t = 10)]
    beside_pairs: usize,
    /// Their messages a second, all together, or `closed-loop`
    #[arg(long, value_name = "R", default_value = "500", value_parser = rate)]
    beside_rate: RateValue,
    #[command(flatten)]
    arrivals: ArrivalsArgs,
    #[command(flatten)]
    sizes: SizesArgs,
    /// Seconds to look at them before
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pub(crate) quiet: Duration,
}

impl BesideArgs {
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            pairs: self.beside_pairs,
            fan: 1,
            sizes: self.sizes.sizes(),
            in_flight: 16,
            rate: self.beside_rate.rate(&self.arrivals),
            connect_rate: 200.0,
        }
    }

    /// `None` if there are to be none.
    pub(crate) fn some_shape(&self) -> Option<Shape> {
        (self.beside_pairs > 0).then(|| self.shape())
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

pub(crate) fn rate(text: &str) -> Result<RateValue> {
    if text == "closed-loop" {
        return Ok(RateValue::ClosedLoop);
    }
    above_zero(text).context("a number or closed-loop").map(RateValue::PerSecond)
}

pub(crate) fn above_zero(text: &str) -> Result<f64> {
    let rate: f64 = text.parse()?;
    ensure!(rate > 0.0 && rate.is_finite(), "must be above 0");
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_process_is_told_of_the_files_and_not_of_what_is_in_them() {
        let trust = TrustArgs {
            ca: None,
            fingerprint: None,
            insecure: true,
            token_file: Some("a.token".into()),
            client_cert: Some("a.pem".into()),
            client_key: Some("a.key".into()),
        };
        let expected = ["--token-file", "a.token", "--client-cert", "a.pem", "--client-key", "a.key", "--insecure"];
        assert_eq!(trust.arguments(), expected);
    }

    #[test]
    fn rates_are_numbers_or_the_closed_loop() {
        assert_eq!(rate("closed-loop").unwrap(), RateValue::ClosedLoop);
        assert_eq!(rate("12.5").unwrap(), RateValue::PerSecond(12.5));
        for bad in ["", "0", "-1", "inf", "NaN", "fast"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
