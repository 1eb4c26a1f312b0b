//! Length-prefixed frames over TCP: what the floor speaks.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::ToSocketAddrs;

use super::{BATCH, Incoming, Link};
use crate::fault::Fault;

const PREFIX: usize = 4;
const READ_BYTES: usize = 16 * 1024;
/// Anything longer is no frame of ours.
pub(crate) const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Which of the two ends of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Device,
    Client,
}

/// A connection to the relay of the floor.
pub(crate) struct FramedLink {
    tcp: TcpStream,
    input: BytesMut,
    output: BytesMut,
}

impl FramedLink {
    /// Connects and says which end of which pair this is.
    pub(crate) async fn connect(address: impl ToSocketAddrs, pair: u32, end: End) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let mut link = Self { tcp, input: BytesMut::new(), output: BytesMut::new() };
        link.output.put_u32(pair);
        link.output.put_u8(u8::from(end == End::Client));
        link.tcp.write_all_buf(&mut link.output).await?;
        // The relay says one byte when it knows this end.
        link.tcp.read_u8().await?;
        Ok(link)
    }
}

/// Takes the frames that are complete.
fn take_batch(input: &mut BytesMut, batch: &mut Vec<Incoming>) -> Result<(), Fault> {
    while batch.len() < BATCH {
        let Some(payload) = take_frame(input).map_err(cut)? else { break };
        batch.push(Incoming { from: 0, payload });
    }
    Ok(())
}

impl Link for FramedLink {
    async fn receive(&mut self, batch: &mut Vec<Incoming>) -> Result<(), Fault> {
        let Self { tcp, input, output } = self;
        let (mut reader, mut writer) = tcp.split();
        loop {
            take_batch(input, batch)?;
            if !batch.is_empty() && !output.has_remaining() {
                return Ok(());
            }
            input.reserve(READ_BYTES);
            // Writing comes first, since all that is read is an answer to it.
            tokio::select! {
                biased;
                written = writer.write_buf(output), if output.has_remaining() => {
                    written.map_err(cut)?;
                }
                read = reader.read_buf(input) => {
                    if read.map_err(cut)? == 0 {
                        return Err(Fault::Cut("end of stream".into()));
                    }
                }
            }
        }
    }

    fn queue(&mut self, _to: u32, payload: &[u8]) -> Result<(), Fault> {
        put_frame(&mut self.output, payload);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        self.tcp.write_all_buf(&mut self.output).await.map_err(cut)
    }

    async fn close(self) {}
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn cut(error: io::Error) -> Fault {
    Fault::Cut(error.to_string())
}

/// Appends one frame.
pub(crate) fn put_frame(output: &mut BytesMut, payload: &[u8]) {
    output.reserve(PREFIX + payload.len());
    output.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    output.put_slice(payload);
}

/// Takes the first frame, if it is complete.
pub(crate) fn take_frame(input: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let Some(prefix) = input.first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(io::Error::other("a frame that is too long"));
    }
    if input.len() < PREFIX + length {
        return Ok(None);
    }
    input.advance(PREFIX);
    Ok(Some(input.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole() {
        let mut stream = BytesMut::new();
        put_frame(&mut stream, b"one");
        put_frame(&mut stream, b"");
        let mut input = BytesMut::new();
        let mut frames = Vec::new();
        for byte in stream {
            input.put_u8(byte);
            while let Some(frame) = take_frame(&mut input).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, [&b"one"[..], b""]);
        let mut huge = BytesMut::from(&[255u8; 4][..]);
        assert!(take_frame(&mut huge).is_err());
    }
}
