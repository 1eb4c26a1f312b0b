//! `cuttlebone device`

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cuttlebone_client::{ClientCertificate, Endpoint, Token, Trust};
use cuttlebone_demo_device::{DemoDevice, Media, Options};
use tokio_util::sync::CancellationToken;

use super::block_on;
use crate::cli::DeviceArgs;
use crate::files::{self, Others};
use crate::logging::{self, LogFormat, LogSettings};
use crate::signals::Signals;

pub(super) fn run(args: &DeviceArgs) -> Result<ExitCode> {
    let settings = LogSettings { format: LogFormat::Auto, level: args.log_level.clone() };
    logging::start(&settings).map_err(anyhow::Error::msg).context("--log-level")?;
    let mut endpoint = Endpoint::parse(&args.server)?.with_trust(trust(args)?)?;
    if let Some(path) = &args.token_file {
        endpoint = endpoint.with_credential(token(path).context("--token-file")?);
    }
    if let (Some(chain), Some(key)) = (&args.client_cert, &args.client_key) {
        endpoint =
            certificate(chain, key).and_then(|it| Ok(endpoint.with_certificate(it)?)).context("--client-cert")?;
    }
    let media = Media { bind: args.bind, ..Media::default() };
    let device = DemoDevice::new(Options { media, ..Options::new(endpoint, &args.id) });
    block_on(serve(device))
}

fn trust(args: &DeviceArgs) -> Result<Trust> {
    match &args.fingerprint {
        Some(text) => Trust::fingerprint(text).context("--fingerprint: expected 64 hex digits, with or without colons"),
        None if args.insecure => Ok(Trust::Insecure),
        None => match &args.ca {
            Some(path) => Ok(Trust::Pem(read(path, Others::MayRead).context("--ca")?)),
            None => Ok(Trust::WebPki),
        },
    }
}

fn token(path: &Path) -> Result<Token> {
    let text = read(path, Others::MayNothing)?;
    Token::new(text.trim_end_matches(['\r', '\n'])).with_context(|| path.display().to_string())
}

fn certificate(chain: &Path, key: &Path) -> Result<ClientCertificate> {
    let (chain_text, key_text) = (read(chain, Others::MayRead)?, read(key, Others::MayNothing)?);
    let certificate = ClientCertificate::from_pem(&chain_text, &key_text);
    certificate.with_context(|| format!("{} and {}", chain.display(), key.display()))
}

/// Reads a file or a pipe, once.
fn read(path: &Path, others: Others) -> Result<String> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    files::read_open(&file, path, others).map_err(anyhow::Error::msg)
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
