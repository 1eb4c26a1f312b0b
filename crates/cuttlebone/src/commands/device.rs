//! `cuttlebone device`

use std::process::ExitCode;

use anyhow::{Context, Result};
use cuttlebone_client::{Endpoint, Trust};
use cuttlebone_demo_device::{DemoDevice, Media, Options};
use tokio_util::sync::CancellationToken;

use super::block_on;
use crate::cli::DeviceArgs;
use crate::logging::{self, LogFormat, LogSettings};
use crate::signals::Signals;

pub(super) fn run(args: &DeviceArgs) -> Result<ExitCode> {
    let settings = LogSettings { format: LogFormat::Auto, level: args.log_level.clone() };
    logging::start(&settings).map_err(anyhow::Error::msg).context("--log-level")?;
    let endpoint = Endpoint::parse(&args.server)?.with_trust(trust(args)?)?;
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

async fn serve(device: DemoDevice) -> Result<ExitCode> {
    let stop = CancellationToken::new();
    let signals = Signals::new().context("cannot listen to signals")?;
    tokio::select! {
        result = device.run(stop.clone()) => result?,
        () = signals.watch(stop, || ()) => {}
    }
    Ok(ExitCode::SUCCESS)
}
