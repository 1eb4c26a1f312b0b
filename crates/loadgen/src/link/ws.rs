//! A WebSocket that speaks the protocol, as lean as can be: the server is to be measured, not this.

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::{Poll, ready};

use bytes::Bytes;
use cuttlebone_client::raw;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_websockets::{ClientBuilder, CloseCode, Config, Error, Message, WebSocketStream, upgrade};

use super::dial::{Dial, Socket, connect_fault};
use super::{BATCH, Incoming, Link};
use crate::fault::Fault;

const FLUSH_THRESHOLD: usize = 256 * 1024;

/// What a message from the server is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Config,
    /// With what the extension for resuming adds.
    DeviceInfo {
        token: Option<String>,
        received: Option<u64>,
    },
    Payload(Incoming),
    /// The last message before a planned close, for those who can resume.
    Draining {
        received: u64,
    },
    Other,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    message_type: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    cuttlebone_code: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    cuttlebone_resume: Option<Cow<'a, str>>,
    #[serde(default)]
    cuttlebone_received: Option<u64>,
    #[serde(default)]
    client_id: Option<u32>,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

/// A device or a client.
pub(crate) struct WsLink {
    ws: WebSocketStream<Socket>,
    /// What comes before the payload of a `forward`.
    prefix: String,
    /// The client that `prefix` is for; `None` for a client.
    answers: Option<u32>,
    is_device: bool,
    /// What stood before the last payload.
    head: Head,
    /// Whether something may be queued that is not yet written.
    is_dirty: bool,
    /// How the connection ended, when payloads had come before that.
    ended: Option<Fault>,
}

impl WsLink {
    /// Registers a device.
    pub(crate) async fn device(dial: &Dial, id: &str) -> Result<Self, Fault> {
        let mut link = Self::connect(dial, "/register_device").await?;
        let id = serde_json::Value::from(id);
        link.say(format!(r#"{{"message_type":"register","device_id":{id},"device_info":{{}}}}"#)).await?;
        while link.hear().await? != Heard::Config {}
        Ok(link)
    }

    /// Connects a client to a device that is there.
    pub(crate) async fn client(dial: &Dial, device_id: &str) -> Result<Self, Fault> {
        let id = serde_json::Value::from(device_id);
        let (link, _, _) = Self::greeted(dial, format!(r#"{{"message_type":"connect","device_id":{id}}}"#)).await?;
        Ok(link)
    }

    /// Connects a client with this message; also the token and the count that came back, if any.
    pub(crate) async fn greeted(dial: &Dial, connect: String) -> Result<(Self, Option<String>, Option<u64>), Fault> {
        let mut link = Self::connect(dial, "/connect_client").await?;
        link.say(connect).await?;
        loop {
            if let Heard::DeviceInfo { token, received } = link.hear().await? {
                return Ok((link, token, received));
            }
        }
    }

    async fn connect(dial: &Dial, path: &str) -> Result<Self, Fault> {
        let mut request = ClientBuilder::new()
            .uri(&format!("{}{path}", dial.endpoint))
            .map_err(|error| Fault::Connect { kind: "connect", text: error.to_string() })?
            .config(Config::default().frame_size(usize::MAX).flush_threshold(FLUSH_THRESHOLD));
        if let Some((name, value)) = raw::authorization(&dial.endpoint).await.map_err(connect_fault)? {
            request = request.add_header(name, value).map_err(upgrade_fault)?;
        }
        let (ws, _response) = request.connect_on(dial.open().await?).await.map_err(upgrade_fault)?;
        let prefix = r#"{"message_type":"forward","payload":"#.to_owned();
        let is_device = path == "/register_device";
        Ok(Self { ws, prefix, answers: None, is_device, head: Head::default(), is_dirty: false, ended: None })
    }

    async fn say(&mut self, text: String) -> Result<(), Fault> {
        self.ws.send(Message::text(text)).await.map_err(cut)
    }

    /// What comes next. Writes what is queued meanwhile. Cancel safe.
    pub(crate) async fn hear(&mut self) -> Result<Heard, Fault> {
        let message = poll_fn(|cx| {
            if self.is_dirty {
                match self.ws.poll_flush_unpin(cx) {
                    Poll::Ready(Ok(())) => self.is_dirty = false,
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Pending => {}
                }
            }
            Poll::Ready(ready!(self.ws.poll_next_unpin(cx)))
        })
        .await;
        self.understand(message)
    }

    fn understand(&mut self, message: Option<Result<Message, Error>>) -> Result<Heard, Fault> {
        let message = match message {
            None => return Err(Fault::Cut("end of stream".into())),
            Some(Err(error)) => return Err(cut(error)),
            Some(Ok(message)) => message,
        };
        if let Some((code, _)) = message.as_close() {
            return Err(Fault::Closed(Some(code.into())));
        }
        if message.is_ping() || message.is_pong() {
            // The library has queued the answer.
            self.is_dirty |= message.is_ping();
            return Ok(Heard::Other);
        }
        if !message.is_text() {
            return Err(Fault::Protocol("a binary message".into()));
        }
        let bytes: Bytes = message.into_payload().into();
        if let Some(incoming) = self.head.of(&bytes) {
            return Ok(Heard::Payload(incoming));
        }
        let heard = understand_text(&bytes)?;
        if let Heard::Payload(incoming) = &heard {
            self.head.learn(&bytes, incoming);
        }
        Ok(heard)
    }

    /// Makes the prefix that of a device's answer to this client.
    fn answer_to(&mut self, client: u32) {
        if self.is_device && self.answers != Some(client) {
            self.answers = Some(client);
            self.prefix = format!(r#"{{"message_type":"forward","client_id":{client},"payload":"#);
        }
    }
}

/// What a server writes before a payload, as long as it is the same each time and the payload is the last of a message: then
/// nothing has to be parsed. Whoever gets the payload compares each byte of it.
#[derive(Debug, Default)]
struct Head {
    bytes: Bytes,
    from: u32,
}

impl Head {
    fn learn(&mut self, message: &Bytes, incoming: &Incoming) {
        let rest = incoming.payload.len() + 1;
        if message.ends_with(b"}") && message[..message.len() - 1].ends_with(&incoming.payload) {
            *self = Self { bytes: message.slice(..message.len() - rest), from: incoming.from };
        }
    }

    fn of(&self, message: &Bytes) -> Option<Incoming> {
        let is_same = !self.bytes.is_empty() && message.starts_with(&self.bytes) && message.ends_with(b"}");
        let payload = is_same.then(|| message.slice(self.bytes.len()..message.len() - 1))?;
        Some(Incoming { from: self.from, payload })
    }
}

fn understand_text(bytes: &Bytes) -> Result<Heard, Fault> {
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|error| Fault::Protocol(error.to_string()))?;
    if let Some(error) = envelope.error {
        let code = envelope.cuttlebone_code.map(Cow::into_owned);
        return Err(Fault::Server { code, text: error.into_owned() });
    }
    let payload = envelope.payload.map(|payload| bytes.slice_ref(payload.get().as_bytes()));
    let incoming = |from, payload| Ok(Heard::Payload(Incoming { from, payload }));
    match (envelope.message_type.as_deref(), payload) {
        (Some("config"), _) => Ok(Heard::Config),
        (Some("device_info"), _) => Ok(Heard::DeviceInfo {
            token: envelope.cuttlebone_resume.map(Cow::into_owned),
            received: envelope.cuttlebone_received,
        }),
        (Some("cuttlebone_draining"), _) => match envelope.cuttlebone_received {
            Some(received) => Ok(Heard::Draining { received }),
            None => Err(Fault::Protocol("cuttlebone_draining without a count".into())),
        },
        (Some("device_msg"), Some(payload)) => incoming(0, payload),
        (Some("client_msg"), Some(payload)) => match envelope.client_id {
            Some(id) => incoming(id, payload),
            None => Err(Fault::Protocol("no client_id".into())),
        },
        (Some("device_msg" | "client_msg"), None) => Err(Fault::Protocol("no payload".into())),
        (Some(_), _) => Ok(Heard::Other),
        (None, _) => Err(Fault::Protocol("no message_type".into())),
    }
}

impl Link for WsLink {
    async fn receive(&mut self, batch: &mut Vec<Incoming>) -> Result<(), Fault> {
        if let Some(fault) = self.ended.take() {
            return Err(fault);
        }
        while batch.is_empty() {
            if let Heard::Payload(incoming) = self.hear().await? {
                batch.push(incoming);
            }
        }
        while batch.len() < BATCH {
            match self.hear().now_or_never() {
                Some(Ok(Heard::Payload(incoming))) => batch.push(incoming),
                Some(Ok(_)) => {}
                Some(Err(fault)) => {
                    self.ended = Some(fault);
                    break;
                }
                None => break,
            }
        }
        Ok(())
    }

    fn queue(&mut self, to: u32, payload: &[u8]) -> Result<(), Fault> {
        self.answer_to(to);
        let mut text = Vec::with_capacity(self.prefix.len() + payload.len() + 1);
        text.extend_from_slice(self.prefix.as_bytes());
        text.extend_from_slice(payload);
        text.push(b'}');
        self.is_dirty = true;
        self.ws.start_send_unpin(Message::text(text)).map_err(cut)
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        self.ws.flush().await.map_err(cut)?;
        self.is_dirty = false;
        Ok(())
    }

    async fn close(mut self) {
        let goodbye = Message::close(Some(CloseCode::NORMAL_CLOSURE), "");
        if self.ws.send(goodbye).await.is_ok() {
            while let Some(Ok(_)) = self.ws.next().await {}
        }
    }
}

fn upgrade_fault(error: Error) -> Fault {
    match error {
        Error::Io(error) => Fault::connect(&error),
        Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) => Fault::Status(status),
        other => Fault::Connect { kind: "connect", text: other.to_string() },
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn cut(error: Error) -> Fault {
    Fault::Cut(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &'static str) -> Result<Heard, Fault> {
        understand_text(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn what_the_server_says_is_understood() {
        let incoming = |from| Heard::Payload(Incoming { from, payload: Bytes::from_static(b"[1]") });
        for (text, expected) in [
            (r#"{"message_type":"config","ice_servers":[]}"#, Heard::Config),
            (r#"{"message_type":"device_info","device_info":1}"#, Heard::DeviceInfo { token: None, received: None }),
            (
                r#"{"message_type":"device_info","device_info":1,"cuttlebone_resume":"t","cuttlebone_received":3}"#,
                Heard::DeviceInfo { token: Some("t".into()), received: Some(3) },
            ),
            (r#"{"message_type":"device_msg","payload":[1]}"#, incoming(0)),
            (r#"{"message_type":"client_msg","client_id":7,"payload":[1]}"#, incoming(7)),
            (r#"{"message_type":"cuttlebone_draining","cuttlebone_received":5}"#, Heard::Draining { received: 5 }),
            (r#"{"message_type":"client_disconnected","client_id":7}"#, Heard::Other),
        ] {
            assert_eq!(heard(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn head_that_comes_again_is_not_parsed() {
        let text = |id: u32, payload: &str| -> Bytes {
            format!(r#"{{"message_type":"client_msg","client_id":{id},"payload":{payload}}}"#).into()
        };
        let mut head = Head::default();
        assert_eq!(head.of(&text(7, "[1]")), None);
        let Heard::Payload(first) = understand_text(&text(7, "[1]")).unwrap() else { panic!("a payload") };
        head.learn(&text(7, "[1]"), &first);
        assert_eq!(head.of(&text(7, "[22]")), Some(Incoming { from: 7, payload: Bytes::from_static(b"[22]") }));
        assert_eq!(head.of(&text(70, "[22]")), None);
        let last: Bytes = r#"{"payload":[1],"client_id":7,"message_type":"client_msg"}"#.into();
        let mut head = Head::default();
        head.learn(&last, &first);
        assert_eq!(head.of(&last), None, "the payload is not the last");
    }

    #[test]
    fn errors_keep_their_code() {
        let fault = heard(r#"{"error":"Too fast","cuttlebone_code":"rate_limited"}"#).unwrap_err();
        assert_eq!((fault.kind().as_str(), fault.to_string().as_str()), ("error_rate_limited", "Too fast"));
        for text in ["{}", "[]", r#"{"message_type":"client_msg","payload":1}"#, r#"{"message_type":"device_msg"}"#] {
            assert_eq!(heard(text).unwrap_err().kind(), "protocol", "{text}");
        }
    }
}
