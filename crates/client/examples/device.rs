//! A device that sends everything back: `cargo run -p cuttlebone-client --example device -- http://127.0.0.1:8080 echo`
//!
//! Where the server wants a token, it is taken from the variable `CUTTLEBONE_TOKEN`.

use anyhow::Context;
use cuttlebone_client::{DeviceEvent, DeviceOptions, Endpoint, NotAToken, Token, device};
use serde_json::value::to_raw_value;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().context("usage: device URL DEVICE_ID")?;
    let id = args.next().context("usage: device URL DEVICE_ID")?;
    let info = to_raw_value(&serde_json::json!({"kind": "echo"}))?;

    let (handle, mut events) = device(DeviceOptions::new(endpoint(&url)?, &id, info));
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = &mut stop => break,
        };
        match event {
            Some(DeviceEvent::ClientMessage { client_id, payload }) => {
                println!("{client_id}: {payload}");
                handle.forward(client_id, &payload).await?;
            }
            Some(other) => println!("{other:?}"),
            None => break,
        }
    }
    handle.close().await;
    Ok(())
}

/// The server, and the token in the variable `CUTTLEBONE_TOKEN` if there is one.
#[expect(clippy::disallowed_methods, reason = "an example is a program of its own, and this its configuration")]
fn endpoint(url: &str) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::parse(url)?;
    match std::env::var("CUTTLEBONE_TOKEN") {
        Ok(token) => Ok(endpoint.with_credential(Token::new(&token).context("CUTTLEBONE_TOKEN")?)),
        Err(std::env::VarError::NotPresent) => Ok(endpoint),
        Err(std::env::VarError::NotUnicode(_)) => anyhow::bail!("CUTTLEBONE_TOKEN: {NotAToken}"),
    }
}
