//! A WebSocket that speaks the protocol, as lean as can be: the server is to be measured, not this.

use std::borrow::Cow;

use bytes::Bytes;
use cuttlebone_client::{Endpoint, raw};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_websockets::{ClientBuilder, CloseCode, Config, Message, WebSocketStream};

use super::{BATCH, Link};
use crate::fault::Fault;

const FLUSH_THRESHOLD: usize = 256 * 1024;

/// What a message from the server is about.
#[derive(Debug)]
enum Heard {
    Config,
    DeviceInfo,
    Payload(Bytes),
    Other,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    message_type: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(default)]
    client_id: Option<u32>,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

/// A device or a client.
pub(crate) struct WsLink {
    ws: WebSocketStream<raw::Stream>,
    /// What comes before the payload of a `forward`.
    prefix: String,
    /// The client that a device answers.
    client_id: Option<u32>,
}

impl WsLink {
    /// Registers a device; it answers whoever spoke last.
    pub(crate) async fn device(endpoint: &Endpoint, id: &str) -> Result<Self, Fault> {
        let mut link = Self::connect(endpoint, "/register_device").await?;
        let id = serde_json::Value::from(id);
        link.say(format!(r#"{{"message_type":"register","device_id":{id},"device_info":{{}}}}"#)).await?;
        link.wait_for(|heard| matches!(heard, Heard::Config)).await?;
        Ok(link)
    }

    /// Connects a client to a device that is there.
    pub(crate) async fn client(endpoint: &Endpoint, device_id: &str) -> Result<Self, Fault> {
        let mut link = Self::connect(endpoint, "/connect_client").await?;
        let id = serde_json::Value::from(device_id);
        link.say(format!(r#"{{"message_type":"connect","device_id":{id}}}"#)).await?;
        link.wait_for(|heard| matches!(heard, Heard::DeviceInfo)).await?;
        Ok(link)
    }

    async fn connect(endpoint: &Endpoint, path: &str) -> Result<Self, Fault> {
        let stream = raw::Stream::open(endpoint).await.map_err(connect_fault)?;
        let (ws, _response) = ClientBuilder::new()
            .uri(&format!("{endpoint}{path}"))
            .map_err(connect_fault)?
            .config(Config::default().frame_size(usize::MAX).flush_threshold(FLUSH_THRESHOLD))
            .connect_on(stream)
            .await
            .map_err(connect_fault)?;
        let prefix = r#"{"message_type":"forward","payload":"#.to_owned();
        Ok(Self { ws, prefix, client_id: None })
    }

    async fn say(&mut self, text: String) -> Result<(), Fault> {
        self.ws.send(Message::text(text)).await.map_err(cut)
    }

    async fn wait_for(&mut self, wanted: impl Fn(&Heard) -> bool) -> Result<(), Fault> {
        loop {
            let message = self.ws.next().await;
            if wanted(&self.understand(message)?) {
                return Ok(());
            }
        }
    }

    fn understand(&mut self, message: Option<Result<Message, tokio_websockets::Error>>) -> Result<Heard, Fault> {
        let message = match message {
            None => return Err(Fault::Cut("end of stream".into())),
            Some(Err(error)) => return Err(cut(error)),
            Some(Ok(message)) => message,
        };
        if let Some((code, _)) = message.as_close() {
            return Err(Fault::Closed(Some(code.into())));
        }
        if message.is_ping() || message.is_pong() {
            return Ok(Heard::Other);
        }
        if !message.is_text() {
            return Err(Fault::Protocol("a binary message".into()));
        }
        self.understand_text(&message.into_payload().into())
    }

    fn understand_text(&mut self, bytes: &Bytes) -> Result<Heard, Fault> {
        let envelope: Envelope<'_> =
            serde_json::from_slice(bytes).map_err(|error| Fault::Protocol(error.to_string()))?;
        if let Some(error) = envelope.error {
            return Err(Fault::Server(error.into_owned()));
        }
        let payload = envelope.payload.map(|payload| bytes.slice_ref(payload.get().as_bytes()));
        match (envelope.message_type.as_deref(), payload) {
            (Some("config"), _) => Ok(Heard::Config),
            (Some("device_info"), _) => Ok(Heard::DeviceInfo),
            (Some("device_msg"), Some(payload)) => Ok(Heard::Payload(payload)),
            (Some("client_msg"), Some(payload)) => {
                self.answer_to(envelope.client_id)?;
                Ok(Heard::Payload(payload))
            }
            (Some("device_msg" | "client_msg"), None) => Err(Fault::Protocol("no payload".into())),
            (Some(_), _) => Ok(Heard::Other),
            (None, _) => Err(Fault::Protocol("no message_type".into())),
        }
    }

    fn answer_to(&mut self, client_id: Option<u32>) -> Result<(), Fault> {
        let id = client_id.ok_or_else(|| Fault::Protocol("no client_id".into()))?;
        if self.client_id != client_id {
            self.client_id = client_id;
            self.prefix = format!(r#"{{"message_type":"forward","client_id":{id},"payload":"#);
        }
        Ok(())
    }
}

impl Link for WsLink {
    async fn receive(&mut self, batch: &mut Vec<Bytes>) -> Result<(), Fault> {
        while batch.is_empty() {
            let message = self.ws.next().await;
            if let Heard::Payload(payload) = self.understand(message)? {
                batch.push(payload);
            }
        }
        while batch.len() < BATCH {
            let Some(message) = self.ws.next().now_or_never() else { break };
            if let Heard::Payload(payload) = self.understand(message)? {
                batch.push(payload);
            }
        }
        Ok(())
    }

    fn queue(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut text = Vec::with_capacity(self.prefix.len() + payload.len() + 1);
        text.extend_from_slice(self.prefix.as_bytes());
        text.extend_from_slice(payload);
        text.push(b'}');
        self.ws.start_send_unpin(Message::text(text)).map_err(cut)
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        self.ws.flush().await.map_err(cut)
    }

    async fn close(mut self) {
        let goodbye = Message::close(Some(CloseCode::NORMAL_CLOSURE), "");
        if self.ws.send(goodbye).await.is_ok() {
            while let Some(Ok(_)) = self.ws.next().await {}
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn connect_fault(error: impl ToString) -> Fault {
    Fault::Connect(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn cut(error: tokio_websockets::Error) -> Fault {
    Fault::Cut(error.to_string())
}
