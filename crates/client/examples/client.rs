//! Sends one message and prints the answer, even if the connection breaks in between:
//! `cargo run -p cuttlebone-client --example client -- http://127.0.0.1:8080 echo '{"a":1}'`
//!
//! Where the server wants a token, it is taken from the variable `CUTTLEBONE_TOKEN`.

use anyhow::Context;
use cuttlebone_client::{ClientEvent, ClientHandle, ClientOptions, Endpoint, NotAToken, SendError, Token, client};
use serde_json::value::RawValue;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut argument = || args.next().context("usage: client URL DEVICE_ID JSON");
    let endpoint = endpoint(&argument()?)?;
    let (handle, mut events) = client(ClientOptions::new(endpoint, &argument()?));
    let payload = RawValue::from_string(argument()?)?;

    while let Some(event) = events.next().await {
        match event {
            // A new session knows nothing of what was sent in an older one.
            ClientEvent::DeviceInfo(info) => {
                println!("the device: {info}");
                send(&handle, &payload).await?;
            }
            ClientEvent::Resumed { complete: false, .. } => send(&handle, &payload).await?,
            ClientEvent::Message(answer) => {
                println!("its answer: {answer}");
                handle.close().await;
            }
            other => println!("{other:?}"),
        }
    }
    Ok(())
}

/// A session that is over already is no fault: another will begin, and be sent to.
async fn send(handle: &ClientHandle, payload: &RawValue) -> Result<(), SendError> {
    match handle.forward(payload).await {
        Err(SendError::NotConnected) => Ok(()),
        sent => sent,
    }
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
