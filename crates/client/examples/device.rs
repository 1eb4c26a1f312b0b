//! A device that sends everything back: `cargo run -p cuttlebone-client --example device -- http://127.0.0.1:8080 echo`

use anyhow::Context;
use cuttlebone_client::{DeviceEvent, DeviceOptions, Endpoint, device};
use serde_json::value::to_raw_value;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().context("usage: device URL DEVICE_ID")?;
    let id = args.next().context("usage: device URL DEVICE_ID")?;
    let info = to_raw_value(&serde_json::json!({"kind": "echo"}))?;

    let (handle, mut events) = device(DeviceOptions::new(Endpoint::parse(&url)?, &id, info));
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
