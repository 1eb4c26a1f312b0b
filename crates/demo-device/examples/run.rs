//! A demo device for a server that runs already: `cargo run -p cuttlebone-demo-device --example run -- URL ID`.

use std::error::Error;

use cuttlebone_client::Endpoint;
use cuttlebone_demo_device::{DemoDevice, Options};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let id = arguments.next().unwrap_or_else(|| "demo".to_owned());
    let device = DemoDevice::new(Options::new(Endpoint::parse(&url)?, &id));
    let cancel = CancellationToken::new();
    let run = device.run(cancel.clone());
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => return Ok(ended?),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    cancel.cancel();
    Ok(run.await?)
}
