//! `cuttlebone device`

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use cuttlebone_client::{Endpoint, Token, Trust};
use cuttlebone_demo_device::{DemoDevice, Media, Options};
use tokio_util::sync::CancellationToken;

use super::block_on;
use crate::cli::DeviceArgs;
use crate::logging::{self, LogFormat, LogSettings};
use crate::signals::Signals;

/// The bits of a file's mode that let anybody but its owner do anything.
const OTHERS: u32 = 0o077;

pub(super) fn run(args: &DeviceArgs) -> Result<ExitCode> {
    let settings = LogSettings { format: LogFormat::Auto, level: args.log_level.clone() };
    logging::start(&settings).map_err(anyhow::Error::msg).context("--log-level")?;
    let mut endpoint = Endpoint::parse(&args.server)?.with_trust(trust(args)?)?;
    if let Some(path) = &args.token_file {
        endpoint = endpoint.with_credential(token(path).with_context(|| format!("--token-file {}", path.display()))?);
    }
    let media = Media { bind: args.bind, ..Media::default() };
    let device = DemoDevice::new(Options { media, ..Options::new(endpoint, &args.id) });
    block_on(serve(device))
}

fn trust(args: &DeviceArgs) -> Result<Trust> {
    match &args.fingerprint {
        Some(text) => Trust::fingerprint(text).context("--fingerprint: expected 64 hex digits, with or without colons"),
        None if args.insecure => Ok(Trust::Insecure),
        None => Ok(Trust::WebPki),
    }
}

/// Reads a token from a file that nobody else may read.
fn token(path: &Path) -> Result<Token> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    ensure!(mode & OTHERS == 0, "it is open to others (mode {mode:03o}): chmod 600 makes it yours alone");
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Token::new(text.trim_end_matches(['\r', '\n']))?)
}

async fn serve(device: DemoDevice) -> Result<ExitCode> {
    let stop = CancellationToken::new();
    let signals = Signals::new().context("cannot listen to signals")?;
    tokio::select! {
        result = device.run(stop.clone()) => result?,
        () = signals.watch(stop, || ()) => {}
    }
    Ok(ExitCode::SUCCESS)
}
