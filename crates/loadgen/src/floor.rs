//! The floor: the least that a relay on tokio can do.
//!
//! Length-prefixed frames over TCP. A connection is a task that reads and a task that writes. Each frame goes from the
//! reader of one end through one bounded tokio queue to the writer of the other, which drains the queue and writes once.
//! No JSON, no WebSocket, no ids: what a signaling server costs above this is what it does.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::link::framed::{put_frame, take_frame};

const QUEUE: usize = 256;
const DRAIN: usize = 64;
const READ_BYTES: usize = 16 * 1024;

/// The queue of one end and what it is read by, until its connection comes.
struct Slot {
    queue: mpsc::Sender<Bytes>,
    reader: Option<mpsc::Receiver<Bytes>>,
}

/// Both ends of a pair; the client's is the second.
type Pairs = Mutex<HashMap<u32, [Slot; 2]>>;

/// A relay that listens on loopback.
pub struct Floor {
    listener: TcpListener,
    pairs: Arc<Pairs>,
    tasks: TaskTracker,
}

impl Floor {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { listener, pairs: Arc::default(), tasks: TaskTracker::new() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Relays for ever.
    ///
    /// # Errors
    /// When it can't accept.
    pub async fn run(self) -> io::Result<()> {
        loop {
            let (tcp, _) = self.listener.accept().await?;
            let pairs = Arc::clone(&self.pairs);
            let tasks = self.tasks.clone();
            self.tasks.spawn(async move {
                // An end that breaks is noticed by the other end; the relay has nothing to add.
                let _ = relay(tcp, &pairs, &tasks).await;
            });
        }
    }
}

async fn relay(mut tcp: TcpStream, pairs: &Pairs, tasks: &TaskTracker) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let pair = tcp.read_u32().await?;
    let is_client = tcp.read_u8().await? == 1;
    let (own, other) = join(pairs, pair, is_client).ok_or_else(|| io::Error::other("this end is there already"))?;
    tcp.write_u8(1).await?;
    let (input, output) = tcp.into_split();
    tasks.spawn(async move {
        let _ = write(output, own).await;
    });
    let result = read(input, other).await;
    pairs.lock().remove(&pair);
    result
}

/// The queue to read from and the one to write to.
fn join(pairs: &Pairs, pair: u32, is_client: bool) -> Option<(mpsc::Receiver<Bytes>, mpsc::Sender<Bytes>)> {
    let mut pairs = pairs.lock();
    let slots = pairs.entry(pair).or_insert_with(|| [slot(), slot()]);
    let own = slots[usize::from(is_client)].reader.take()?;
    let other = slots[usize::from(!is_client)].queue.clone();
    Some((own, other))
}

fn slot() -> Slot {
    let (queue, reader) = mpsc::channel(QUEUE);
    Slot { queue, reader: Some(reader) }
}

async fn read(mut input: OwnedReadHalf, other: mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        if input.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = take_frame(&mut buffer)? {
            other.send(frame).await.map_err(io::Error::other)?;
        }
    }
}

async fn write(mut output: OwnedWriteHalf, mut own: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut frames = Vec::with_capacity(DRAIN);
    let mut buffer = BytesMut::new();
    while own.recv_many(&mut frames, DRAIN).await > 0 {
        for frame in frames.drain(..) {
            put_frame(&mut buffer, &frame);
        }
        output.write_all_buf(&mut buffer).await?;
    }
    Ok(())
}
