//! A server that speaks just enough of the protocol, with the extension for resuming, and misbehaves when told to.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cuttlebone_client::Endpoint;
use cuttlebone_loadgen::{Rate, Shape, Sizes, Target};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tokio_websockets::{CloseCode, Message, ServerBuilder, WebSocketStream};

const QUEUE: usize = 4096;
const SEND_BUFFER: u32 = 32 * 1024;

/// What is done to the tenth message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    PassedOn,
    Altered,
    Doubled,
    Swallowed,
    Refused,
    /// It and what follows are held back until so many are there; then all goes on.
    Stalled(usize),
    /// It goes to another client of the device as well.
    Misdelivered,
    /// It is not taken: the connection breaks instead, once for each session.
    Cut,
}

/// What new connections meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// HTTP 503.
    Busy,
    /// An error with a code, and close 4029.
    Limited,
}

/// What is forgotten when all connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The network failed: nothing is.
    Nothing,
    /// The server was killed: the counts are, and what is under way.
    Counts,
    /// The server was told to end: it says its counts, then forgets them.
    Planned,
    /// Everything.
    Sessions,
}

#[derive(Debug)]
enum Out {
    Text(String),
    Close(u16),
}

#[derive(Default)]
struct Session {
    device: String,
    /// Of the present connection.
    queue: Option<mpsc::Sender<Out>>,
    /// Its number.
    connection: u64,
    has_counts: bool,
    was_cut: bool,
    /// Forwards taken from the client.
    taken: u64,
    /// What was sent to the client since both count.
    kept: Vec<String>,
}

#[derive(Default)]
struct Meeting {
    devices: HashMap<String, mpsc::Sender<Out>>,
    /// What came for devices that were away.
    held: HashMap<String, Vec<String>>,
    sessions: HashMap<u32, Session>,
    next_id: u32,
    /// Where connections came from.
    sources: BTreeSet<IpAddr>,
    /// Messages that clients had not read when their connections ended.
    unread: usize,
    /// Cancelled when all connections are to end.
    cut: CancellationToken,
}

struct Rules {
    fate: Fate,
    resumes: bool,
    refusal: Refusal,
    /// Connections that are still to be refused.
    refused: AtomicUsize,
}

pub(crate) struct FakeServer {
    address: String,
    meeting: Arc<Mutex<Meeting>>,
    rules: Arc<Rules>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(serde::Deserialize)]
struct Said {
    message_type: String,
    device_id: Option<String>,
    client_id: Option<u32>,
    payload: Option<Box<RawValue>>,
    cuttlebone_resume: Option<Value>,
    #[serde(default)]
    cuttlebone_received: usize,
}

impl FakeServer {
    pub(crate) async fn start(fate: Fate) -> Self {
        Self::with(fate, false, (Refusal::Busy, 0)).await
    }

    /// Knows the extension for resuming.
    pub(crate) async fn resuming(fate: Fate) -> Self {
        Self::with(fate, true, (Refusal::Busy, 0)).await
    }

    /// Refuses the first so many connections.
    pub(crate) async fn refusing(refusal: Refusal, count: usize) -> Self {
        Self::with(Fate::PassedOn, false, (refusal, count)).await
    }

    async fn with(fate: Fate, resumes: bool, (refusal, refused): (Refusal, usize)) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Little, so that who does not read is soon noticed.
        socket.set_send_buffer_size(SEND_BUFFER).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let meeting = Arc::new(Mutex::new(Meeting::default()));
        let rules = Arc::new(Rules { fate, resumes, refusal, refused: AtomicUsize::new(refused) });
        let tasks = TaskTracker::new();
        let (connections, there, followed) = (tasks.clone(), Arc::clone(&meeting), Arc::clone(&rules));
        let accepting = tasks.spawn(async move {
            while let Ok((tcp, from)) = listener.accept().await {
                there.lock().sources.insert(from.ip());
                let connection = Connection { meeting: Arc::clone(&there), rules: Arc::clone(&followed) };
                let cut = there.lock().cut.clone();
                connections.spawn(async move {
                    cut.run_until_cancelled(connection.serve(tcp)).await;
                });
            }
        });
        Self { address, meeting, rules, _accepting: AbortOnDropHandle::new(accepting) }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&self.url()).unwrap()
    }

    pub(crate) fn target(&self) -> Target {
        Target::Server { endpoint: self.endpoint(), prefix: "test".into() }
    }

    /// How many connections are still to be refused.
    pub(crate) fn refusals_left(&self) -> usize {
        self.rules.refused.load(Ordering::Relaxed)
    }

    /// Where connections came from.
    pub(crate) fn sources(&self) -> BTreeSet<IpAddr> {
        self.meeting.lock().sources.clone()
    }

    /// Messages that clients had not read when their connections ended.
    pub(crate) fn unread(&self) -> usize {
        self.meeting.lock().unread
    }

    /// How many clients are connected.
    pub(crate) fn clients(&self) -> usize {
        self.meeting.lock().sessions.values().filter(|session| session.queue.is_some()).count()
    }

    /// Ends all connections.
    pub(crate) fn end_all(&self, loss: Loss) {
        let mut meeting = self.meeting.lock();
        if loss == Loss::Planned {
            // What is queued goes out first, so the connections end by themselves.
            for session in meeting.sessions.values_mut() {
                let Some(queue) = session.queue.take() else { continue };
                let taken = session.taken;
                let text = format!(r#"{{"message_type":"cuttlebone_draining","cuttlebone_received":{taken}}}"#);
                queue.try_send(Out::Text(text)).unwrap();
                queue.try_send(Out::Close(1012)).unwrap();
            }
            let devices: Vec<mpsc::Sender<Out>> = meeting.devices.drain().map(|(_, queue)| queue).collect();
            devices.iter().for_each(|queue| queue.try_send(Out::Close(1012)).unwrap());
        } else {
            std::mem::take(&mut meeting.cut).cancel();
            meeting.devices.clear();
        }
        for session in meeting.sessions.values_mut() {
            session.queue = None;
            if loss != Loss::Nothing {
                (session.has_counts, session.taken) = (false, 0);
                session.kept.clear();
            }
        }
        if loss == Loss::Sessions {
            meeting.sessions.clear();
        }
    }
}

pub(crate) fn shape(pairs: usize, in_flight: usize) -> Shape {
    Shape { pairs, fan: 1, sizes: Sizes::Fixed(200), in_flight, rate: Rate::ClosedLoop, connect_rate: 1000.0 }
}

struct Connection {
    meeting: Arc<Mutex<Meeting>>,
    rules: Arc<Rules>,
}

impl Connection {
    /// Serves one connection; `None` at its end, however it came.
    async fn serve(self, tcp: TcpStream) -> Option<()> {
        tcp.set_nodelay(true).ok()?;
        let left = &self.rules.refused;
        let is_refused = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_refused && self.rules.refusal == Refusal::Busy {
            return busy(tcp).await;
        }
        let (request, mut ws) = ServerBuilder::new().accept(tcp).await.ok()?;
        if is_refused {
            say(&mut ws, r#"{"error":"Too many","cuttlebone_code":"rate_limited"}"#).await?;
            let code = CloseCode::try_from(4029).unwrap();
            return ws.send(Message::close(Some(code), "")).await.ok();
        }
        let first = hear(ws.next().await)?;
        say(&mut ws, r#"{"message_type":"config","ice_servers":[]}"#).await?;
        match request.uri().path() {
            "/register_device" => self.device(&mut ws, first.device_id?).await,
            _ => self.client(&mut ws, first).await,
        }
    }

    async fn device(&self, ws: &mut WebSocketStream<TcpStream>, id: String) -> Option<()> {
        let (queue, own) = mpsc::channel(QUEUE);
        for text in self.meeting.lock().held.remove(&id).unwrap_or_default() {
            queue.try_send(Out::Text(text)).unwrap();
        }
        self.meeting.lock().devices.insert(id.clone(), queue);
        let mut line = Line { ws, own, is_closing: false };
        while let Ok(said) = line.next().await {
            let payload = said.payload?;
            let mut meeting = self.meeting.lock();
            let session = meeting.sessions.get_mut(&said.client_id?).filter(|session| session.device == id);
            let Some(session) = session else { continue };
            session.say(format!(r#"{{"message_type":"device_msg","payload":{}}}"#, payload.get()));
        }
        None
    }

    async fn client(&self, ws: &mut WebSocketStream<TcpStream>, first: Said) -> Option<()> {
        let (queue, own) = mpsc::channel(QUEUE);
        let Some((id, connection)) = self.meeting.lock().admit(&first, queue, self.rules.resumes) else {
            say(ws, r#"{"error":"Session cannot be resumed","cuttlebone_code":"cannot_resume"}"#).await?;
            return ws.send(Message::close(Some(CloseCode::POLICY_VIOLATION), "")).await.ok();
        };
        let device = first.device_id?;
        let (mut count, mut stalled, mut is_stalled) = (0, Vec::new(), false);
        let mut line = Line { ws, own, is_closing: false };
        let unread = loop {
            let said = match line.next().await {
                Ok(said) => said,
                Err(unread) => break unread,
            };
            let payload = said.payload?;
            count += 1;
            let text = format!(r#"{{"message_type":"client_msg","client_id":{id},"payload":{}}}"#, payload.get());
            let mut texts = match self.rules.fate {
                Fate::Altered if count == 10 => vec![text.replacen("xxx", "xyx", 1)],
                Fate::Doubled if count == 10 => vec![text.clone(), text],
                Fate::Swallowed | Fate::Refused if count == 10 => Vec::new(),
                Fate::Stalled(_) if count == 10 || is_stalled => {
                    is_stalled = true;
                    stalled.push(text);
                    Vec::new()
                }
                _ => vec![text],
            };
            if matches!(self.rules.fate, Fate::Stalled(most) if stalled.len() == most) {
                texts = std::mem::take(&mut stalled);
                is_stalled = false;
            }
            if self.rules.fate == Fate::Refused && count == 10 {
                say(line.ws, r#"{"error":"Forward failed: on purpose"}"#).await?;
            }
            let mut meeting = self.meeting.lock();
            let session = meeting.sessions.get_mut(&id)?;
            if self.rules.fate == Fate::Cut && count == 10 && !std::mem::replace(&mut session.was_cut, true) {
                break 0;
            }
            if session.queue.is_none() {
                // It has been told the last count; nothing more is taken.
                continue;
            }
            session.taken += 1;
            if self.rules.fate == Fate::Misdelivered && count == 10 {
                let other =
                    meeting.sessions.iter_mut().find(|(other, session)| **other != id && session.device == device);
                let text = format!(r#"{{"message_type":"device_msg","payload":{}}}"#, payload.get());
                other.unwrap().1.say(text);
            }
            meeting.bring(&device, texts);
        };
        let mut meeting = self.meeting.lock();
        meeting.unread += unread;
        if let Some(session) = meeting.sessions.get_mut(&id).filter(|found| found.connection == connection) {
            session.queue = None;
        }
        None
    }
}

impl Session {
    fn say(&mut self, text: String) {
        self.kept.push(text.clone());
        if let Some(queue) = &self.queue {
            // Who does not read is cut.
            if queue.try_send(Out::Text(text)).is_err() {
                self.queue = None;
            }
        }
    }
}

impl Meeting {
    /// A client comes. `None`: its session can't be resumed.
    fn admit(&mut self, first: &Said, queue: mpsc::Sender<Out>, resumes: bool) -> Option<(u32, u64)> {
        let token = first.cuttlebone_resume.as_ref().and_then(Value::as_str);
        let id = match token {
            Some(token) => token.strip_prefix("token-")?.parse().ok()?,
            None => {
                self.next_id += 1;
                let device = first.device_id.clone()?;
                self.sessions.insert(self.next_id, Session { device, ..Session::default() });
                self.next_id
            }
        };
        let session = self.sessions.get_mut(&id)?;
        let received = match (token.is_some(), session.has_counts) {
            (true, true) => format!(r#","cuttlebone_received":{}"#, session.taken),
            _ => String::new(),
        };
        let resume = match resumes && first.cuttlebone_resume.is_some() {
            true => format!(r#","cuttlebone_resume":"token-{id}"{received}"#),
            false => String::new(),
        };
        let text = format!(r#"{{"message_type":"device_info","device_info":{{}}{resume}}}"#);
        queue.try_send(Out::Text(text)).unwrap();
        // Without counts both begin at zero, and what came for the client meanwhile is new to it.
        let known = if session.has_counts { first.cuttlebone_received } else { 0 };
        for text in session.kept.iter().skip(known) {
            queue.try_send(Out::Text(text.clone())).unwrap();
        }
        session.has_counts = true;
        session.queue = Some(queue);
        session.connection += 1;
        Some((id, session.connection))
    }

    fn bring(&mut self, device: &str, texts: Vec<String>) {
        for text in texts {
            let lost = match self.devices.get(device) {
                Some(queue) => queue.try_send(Out::Text(text)).err().map(|error| error.into_inner()),
                None => Some(Out::Text(text)),
            };
            if let Some(Out::Text(text)) = lost {
                self.held.entry(device.to_owned()).or_default().push(text);
            }
        }
    }
}

/// A connection after its first message.
struct Line<'a> {
    ws: &'a mut WebSocketStream<TcpStream>,
    own: mpsc::Receiver<Out>,
    is_closing: bool,
}

impl Line<'_> {
    /// Says what is queued until something is heard. At the end: how much could not be said.
    ///
    /// After its own close frame it goes on hearing until the peer's: what crosses with it is not lost, and hanging up on
    /// what was not read would reset the connection, and what was said last with it.
    async fn next(&mut self) -> Result<Said, usize> {
        loop {
            tokio::select! {
                out = self.own.recv(), if !self.is_closing => match out.ok_or(0usize)? {
                    Out::Text(text) => say(self.ws, &text).await.ok_or_else(|| 1 + self.own.len())?,
                    Out::Close(code) => {
                        self.is_closing = true;
                        let code = CloseCode::try_from(code).unwrap();
                        self.ws.send(Message::close(Some(code), "")).await.map_err(|_| 0usize)?;
                    }
                },
                message = self.ws.next() => return hear(message).ok_or_else(|| self.own.len()),
            }
        }
    }
}

/// An answer that is no WebSocket.
async fn busy(mut tcp: TcpStream) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(tcp.read_u8().await.ok()?);
    }
    tcp.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.ok()
}

fn hear(message: Option<Result<Message, tokio_websockets::Error>>) -> Option<Said> {
    let message = message?.ok()?;
    let said: Said = serde_json::from_str(message.as_text()?).ok()?;
    assert!(["register", "connect", "forward"].contains(&said.message_type.as_str()));
    Some(said)
}

async fn say<S>(ws: &mut S, text: &str) -> Option<()>
where
    S: SinkExt<Message> + Unpin,
{
    ws.send(Message::text(text.to_owned())).await.ok()
}
