//! A relay that speaks just enough of the protocol, for one client a device.

use std::collections::HashMap;
use std::sync::Arc;

use cuttlebone_client::Endpoint;
use cuttlebone_loadgen::{Rate, Shape, Target};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tokio_websockets::{Message, ServerBuilder};

const QUEUE: usize = 64;

/// What is done to the tenth message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    PassedOn,
    Altered,
    Doubled,
    Swallowed,
    Refused,
}

#[derive(Default)]
struct Meeting {
    /// To the devices and to their clients.
    devices: HashMap<String, mpsc::Sender<String>>,
    clients: HashMap<String, mpsc::Sender<String>>,
}

pub(crate) struct FakeServer {
    address: String,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(serde::Deserialize)]
struct Said {
    message_type: String,
    device_id: Option<String>,
    payload: Option<Box<RawValue>>,
}

impl FakeServer {
    pub(crate) async fn start(fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let meeting = Arc::new(Mutex::new(Meeting::default()));
        let tasks = TaskTracker::new();
        let connections = tasks.clone();
        let accepting = tasks.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.spawn(serve(tcp, Arc::clone(&meeting), fate));
            }
        });
        Self { address, _accepting: AbortOnDropHandle::new(accepting) }
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
}

pub(crate) fn shape(pairs: usize, in_flight: usize) -> Shape {
    Shape { pairs, payload: 200, in_flight, rate: Rate::ClosedLoop, connect_rate: 1000.0 }
}

/// Serves one connection; `None` at its end, however it came.
async fn serve(tcp: TcpStream, meeting: Arc<Mutex<Meeting>>, fate: Fate) -> Option<()> {
    let (request, mut ws) = ServerBuilder::new().accept(tcp).await.ok()?;
    let is_device = request.uri().path() == "/register_device";
    let id = hear(ws.next().await)?.device_id?;
    let (queue, mut own) = mpsc::channel(QUEUE);
    say(&mut ws, r#"{"message_type":"config","ice_servers":[]}"#).await?;
    if is_device {
        meeting.lock().devices.insert(id.clone(), queue);
    } else {
        meeting.lock().clients.insert(id.clone(), queue);
        say(&mut ws, r#"{"message_type":"device_info","device_info":{}}"#).await?;
    }
    let mut count = 0;
    loop {
        let message = tokio::select! {
            text = own.recv() => {
                say(&mut ws, &text?).await?;
                continue;
            }
            message = ws.next() => hear(message)?,
        };
        assert_eq!(message.message_type, "forward");
        let payload = message.payload?;
        count += 1;
        let fate = if is_device || count != 10 { Fate::PassedOn } else { fate };
        if fate == Fate::Refused {
            say(&mut ws, r#"{"error":"Forward failed: on purpose"}"#).await?;
        }
        let peer = {
            let meeting = meeting.lock();
            let peers = if is_device { &meeting.clients } else { &meeting.devices };
            peers.get(&id)?.clone()
        };
        for text in passed_on(is_device, payload.get(), fate) {
            peer.send(text).await.ok()?;
        }
    }
}

fn passed_on(from_device: bool, payload: &str, fate: Fate) -> Vec<String> {
    let text = match from_device {
        true => format!(r#"{{"message_type":"device_msg","payload":{payload}}}"#),
        false => format!(r#"{{"message_type":"client_msg","client_id":7,"payload":{payload}}}"#),
    };
    match fate {
        Fate::PassedOn => vec![text],
        Fate::Altered => vec![text.replacen("xxx", "xyx", 1)],
        Fate::Doubled => vec![text.clone(), text],
        Fate::Swallowed | Fate::Refused => Vec::new(),
    }
}

fn hear(message: Option<Result<Message, tokio_websockets::Error>>) -> Option<Said> {
    let message = message?.ok()?;
    serde_json::from_str(message.as_text()?).ok()
}

async fn say<S>(ws: &mut S, text: &str) -> Option<()>
where
    S: SinkExt<Message> + Unpin,
{
    ws.send(Message::text(text.to_owned())).await.ok()
}
