//! The attacks.

use std::io;
use std::time::Duration;

use cuttlebone_client::Endpoint;
use cuttlebone_client::raw::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::wire;
use crate::fault::Fault;
use crate::link::Link;
use crate::link::dial::Dial;
use crate::link::ws::WsLink;
use crate::rng::Rng;

const PATHS: [&str; 2] = ["/register_device", "/connect_client"];
/// Frames sent at once.
const BURST: usize = 16;
/// What a device sends to a client that does not read: more than the buffers of both sockets and a mailbox hold.
const FILL_BYTES: usize = 3 << 20;
const FILL_BURSTS: usize = 20;
/// More than any server should take for one answer to an upgrade.
const ANSWER_BYTES: usize = 8192;

/// What an attack works with.
pub(super) struct Context {
    pub(super) endpoint: Endpoint,
    pub(super) pace: Duration,
    pub(super) rng: Rng,
}

/// How an attack ended.
pub(super) enum Outcome {
    EndedByServer,
    Done,
    NotConnected,
}

/// Something that nobody with good intentions does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Random bytes instead of HTTP.
    Garbage,
    /// A request that stops somewhere, and then nothing.
    HalfHandshake,
    /// A message, byte by byte.
    SlowWriter,
    /// A client that never reads what its device sends it.
    NeverReads,
    /// A device that never reads the errors it provokes.
    UnreadErrors,
    /// A frame that claims a terabyte, or one somewhat too large.
    HugeFrame,
    /// A message that goes on for ever in tiny pieces.
    EndlessFragments,
    /// Pings, and nothing else.
    PingFlood,
    /// Frames against the rules of WebSocket.
    BadFrames,
    /// Messages against the rules of the protocol.
    BadMessages,
    /// Devices that register and vanish, with the ids of others of their kind.
    Churn,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Garbage,
        Self::HalfHandshake,
        Self::SlowWriter,
        Self::NeverReads,
        Self::UnreadErrors,
        Self::HugeFrame,
        Self::EndlessFragments,
        Self::PingFlood,
        Self::BadFrames,
        Self::BadMessages,
        Self::Churn,
    ];

    /// For reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::HalfHandshake => "half_handshake",
            Self::SlowWriter => "slow_writer",
            Self::NeverReads => "never_reads",
            Self::UnreadErrors => "unread_errors",
            Self::HugeFrame => "huge_frame",
            Self::EndlessFragments => "endless_fragments",
            Self::PingFlood => "ping_flood",
            Self::BadFrames => "bad_frames",
            Self::BadMessages => "bad_messages",
            Self::Churn => "churn",
        }
    }

    /// Does it once. Has no end of its own in the worst case: to be wrapped in a timeout.
    pub(super) async fn perform(self, context: &mut Context) -> Outcome {
        match self {
            Self::NeverReads => return never_reads(context).await,
            Self::Garbage | Self::HalfHandshake => match Stream::open(&context.endpoint).await {
                Ok(stream) => self.on_stream(stream, context).await,
                Err(_) => return Outcome::NotConnected,
            },
            _ => match upgraded(context).await {
                Ok(stream) => self.on_stream(stream, context).await,
                Err(_) => return Outcome::NotConnected,
            },
        }
        .map_or(Outcome::EndedByServer, |()| Outcome::Done)
    }

    async fn on_stream(self, mut stream: Stream, context: &mut Context) -> io::Result<()> {
        let stream = &mut stream;
        match self {
            Self::Garbage => garbage(stream, context).await,
            Self::HalfHandshake => half_handshake(stream, context).await,
            Self::SlowWriter => drip(stream, &wire::frame(wire::TEXT, &[b' '; 4000]), context).await,
            Self::HugeFrame => huge_frame(stream, context).await,
            Self::EndlessFragments => {
                stream.write_all(&wire::frame(wire::TEXT_BEGIN, b"{")).await?;
                let piece = [&b""[..], b" "][context.rng.below(2)];
                flood(stream, &wire::frame(wire::MORE, piece), context).await
            }
            Self::PingFlood => flood(stream, &wire::frame(wire::PING, &[b'p'; 125]), context).await,
            Self::UnreadErrors => {
                let text = br#"{"message_type":"no such type"}"#;
                flood(stream, &wire::frame(wire::TEXT, text), context).await
            }
            Self::BadFrames => bad_frames(stream, context).await,
            Self::BadMessages => bad_messages(stream, context).await,
            Self::Churn => churn(stream, context).await,
            Self::NeverReads => Ok(()),
        }
    }
}

/// A WebSocket at one of the two paths, as far as the server is concerned.
async fn upgraded(context: &mut Context) -> anyhow::Result<Stream> {
    let mut stream = Stream::open(&context.endpoint).await?;
    let path = PATHS[context.rng.below(PATHS.len())];
    stream.write_all(&wire::upgrade_request(&context.endpoint, path).await?).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(answer.len() < ANSWER_BYTES, "an answer without an end");
        answer.push(stream.read_u8().await?);
    }
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 101"), "no upgrade");
    Ok(stream)
}

/// Reads until the server hangs up, which it should.
async fn until_end(stream: &mut Stream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Err(io::ErrorKind::UnexpectedEof.into())
}

async fn garbage(stream: &mut Stream, context: &mut Context) -> io::Result<()> {
    for _ in 0..1 + context.rng.below(10) {
        let count = 1 + context.rng.below(2048);
        stream.write_all(&context.rng.bytes(count)).await?;
        sleep(context.pace).await;
    }
    until_end(stream).await
}

async fn half_handshake(stream: &mut Stream, context: &mut Context) -> io::Result<()> {
    let request = wire::upgrade_request(&context.endpoint, PATHS[0]).await.map_err(io::Error::other)?;
    let part = &request[..context.rng.below(request.len())];
    match context.rng.below(2) {
        0 => stream.write_all(part).await?,
        _ => drip(stream, part, context).await?,
    }
    until_end(stream).await
}

async fn drip(stream: &mut Stream, bytes: &[u8], context: &Context) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        sleep(context.pace).await;
    }
    Ok(())
}

/// The same frame again and again, without reading an answer.
async fn flood(stream: &mut Stream, frame: &[u8], context: &Context) -> io::Result<()> {
    let burst = frame.repeat(BURST);
    loop {
        stream.write_all(&burst).await?;
        sleep(context.pace).await;
    }
}

async fn huge_frame(stream: &mut Stream, context: &mut Context) -> io::Result<()> {
    let length = [1 << 20, 1 << 40, u64::MAX / 2][context.rng.below(3)];
    stream.write_all(&wire::claim(wire::TEXT, length)).await?;
    for _ in 0..1 << 8 {
        stream.write_all(&[b' '; 4096]).await?;
        sleep(context.pace).await;
    }
    until_end(stream).await
}

async fn bad_frames(stream: &mut Stream, context: &mut Context) -> io::Result<()> {
    let text = br#"{"message_type":"register","device_id":"hostile"}"#;
    let frames = [
        wire::unmasked(wire::TEXT, text),
        wire::frame(wire::BINARY, text),
        wire::frame(wire::MORE, text),
        wire::frame(wire::TEXT | 0x40, text),
        wire::frame(0x83, text),
        wire::frame(wire::TEXT, b"{\"a\":\"\xff\xfe\"}"),
        wire::frame(wire::CLOSE, &999u16.to_be_bytes()),
        wire::frame(wire::PING, &[0; 126]),
    ];
    stream.write_all(&frames[context.rng.below(frames.len())]).await?;
    until_end(stream).await
}

async fn bad_messages(stream: &mut Stream, context: &mut Context) -> io::Result<()> {
    let deep = "[".repeat(1 + context.rng.below(100_000));
    let texts = [
        "[]",
        "{}",
        "null",
        "{",
        deep.as_str(),
        r#"{"message_type":7}"#,
        r#"{"message_type":"forward","client_id":1e999,"payload":0}"#,
        r#"{"message_type":"forward","client_id":-1,"payload":0}"#,
        r#"{"message_type":"register","device_id":"a\u0000b"}"#,
        r#"{"message_type":"connect","device_id":{}}"#,
        r#"{"message_type":"register","message_type":"connect","device_id":"x"}"#,
    ];
    let text = texts[context.rng.below(texts.len())];
    stream.write_all(&wire::frame(wire::TEXT, text.as_bytes())).await?;
    until_end(stream).await
}

async fn churn(stream: &mut Stream, context: &mut Context) -> io::Result<()> {
    let id = context.rng.below(20);
    let text = format!(r#"{{"message_type":"register","device_id":"hostile-{id}","device_info":[]}}"#);
    stream.write_all(&wire::frame(wire::TEXT, text.as_bytes())).await?;
    sleep(context.pace).await;
    Ok(())
}

/// The device fills whatever the server keeps for a client that does not read. In the end the client looks what became
/// of it.
async fn never_reads(context: &mut Context) -> Outcome {
    let id = format!("hostile-{:016x}", context.rng.next());
    let dial = Dial::from(&context.endpoint);
    let Ok(mut device) = WsLink::device(&dial, &id).await else {
        return Outcome::NotConnected;
    };
    let Ok(mut client) = WsLink::client(&dial, &id).await else {
        return Outcome::NotConnected;
    };
    match fill(&mut device, &mut client, context.pace).await {
        Ok(()) => Outcome::Done,
        Err(_) => Outcome::EndedByServer,
    }
}

async fn fill(device: &mut WsLink, client: &mut WsLink, pace: Duration) -> Result<(), Fault> {
    let mut batch = Vec::new();
    client.queue(0, b"0")?;
    client.flush().await?;
    device.receive(&mut batch).await?;
    let id = batch[0].from;
    let payload = serde_json::Value::from("x".repeat(FILL_BYTES / FILL_BURSTS / BURST)).to_string();
    for _ in 0..FILL_BURSTS {
        for _ in 0..BURST {
            device.queue(id, payload.as_bytes())?;
        }
        device.flush().await?;
        sleep(pace).await;
    }
    loop {
        batch.clear();
        client.receive(&mut batch).await?;
    }
}
