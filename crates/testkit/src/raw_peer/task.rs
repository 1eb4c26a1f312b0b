//! The task that owns the socket of a peer.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::frame::{Frame, FrameReader, Opcode};
use crate::world::Received;

/// What the owner of a peer asks of its task.
#[derive(Debug)]
pub(super) enum Command {
    Write(Vec<u8>),
    Read(bool),
    Close(u16),
    Reset,
}

pub(super) struct Task {
    stream: TcpStream,
    reader: FrameReader,
    orders: mpsc::Receiver<Command>,
    events: mpsc::Sender<Received>,
    unwritten: Vec<u8>,
    silent: bool,
    reading: bool,
    close_sent: bool,
}

/// Why the task ends.
enum End {
    /// The server ended the connection, for this reason if it was a fault.
    Server(Option<String>),
    /// The owner asked for a reset, or is gone.
    Owner,
}

impl Task {
    pub(super) fn new(
        stream: TcpStream,
        early: &[u8],
        orders: mpsc::Receiver<Command>,
        events: mpsc::Sender<Received>,
        silent: bool,
    ) -> Self {
        let mut reader = FrameReader::default();
        reader.feed(early);
        Self { stream, reader, orders, events, unwritten: Vec::new(), silent, reading: true, close_sent: false }
    }

    pub(super) async fn run(mut self) {
        match self.serve().await {
            End::Server(fault) => {
                let _ = self.events.send(Received::End(fault)).await;
            }
            End::Owner => {
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
            }
        }
    }

    async fn serve(&mut self) -> End {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            if let Err(end) = self.deliver().await {
                return end;
            }
            let (mut read, mut write) = self.stream.split();
            // Unbiased on purpose: a server under test must not depend on which comes first.
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => if let Err(end) = self.obey(order) { return end },
                    None => return End::Owner,
                },
                written = write.write(&self.unwritten), if !self.unwritten.is_empty() => match written {
                    Ok(count) => { self.unwritten.drain(..count); }
                    // The reason is in what can still be read; without it nothing more is written.
                    Err(_) => self.unwritten.clear(),
                },
                count = read.read(&mut bytes), if self.reading => match count {
                    Ok(0) => return End::Server(None),
                    Ok(count) => self.reader.feed(&bytes[..count]),
                    Err(fault) => return End::Server(Some(fault.to_string())),
                },
            }
        }
    }

    fn obey(&mut self, order: Command) -> Result<(), End> {
        match order {
            Command::Write(bytes) => self.unwritten.extend(bytes),
            Command::Read(reading) => self.reading = reading,
            Command::Close(code) => {
                self.close_sent = true;
                self.unwritten.extend(Frame::close(code).masked());
            }
            Command::Reset => return Err(End::Owner),
        }
        Ok(())
    }

    /// Passes the frames on that have come, and answers those that want it.
    async fn deliver(&mut self) -> Result<(), End> {
        loop {
            let frame = match self.reader.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(fault) => return Err(End::Server(Some(fault.to_string()))),
            };
            self.answer(&frame);
            let received = received(frame).map_err(|fault| End::Server(Some(fault)))?;
            self.events.send(received).await.map_err(|_| End::Owner)?;
        }
    }

    fn answer(&mut self, frame: &Frame) {
        match frame.opcode {
            Opcode::Ping if !self.silent => {
                self.unwritten.extend(Frame::new(Opcode::Pong, frame.payload.clone()).masked());
            }
            Opcode::Close if !self.close_sent => {
                self.close_sent = true;
                self.unwritten.extend(Frame::new(Opcode::Close, frame.payload.clone()).masked());
            }
            _ => {}
        }
    }
}

fn received(frame: Frame) -> Result<Received, String> {
    let Frame { opcode, payload, .. } = frame;
    match opcode {
        Opcode::Text => {
            String::from_utf8(payload).map(Received::Text).map_err(|_| "the server sent text that is not UTF-8".into())
        }
        Opcode::Ping => Ok(Received::Ping(payload)),
        Opcode::Pong => Ok(Received::Pong(payload)),
        Opcode::Close => close_code(&payload).map(Received::Close),
        Opcode::Binary | Opcode::Continuation | Opcode::Other(_) => Ok(Received::Binary(payload)),
    }
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, String> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] if std::str::from_utf8(reason).is_ok() => Ok(Some(u16::from_be_bytes([*high, *low]))),
        _ => Err("the server sent a wrong close frame".into()),
    }
}
