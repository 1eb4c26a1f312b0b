//! The other end.

use cuttlebone_transport::Rate;
use cuttlebone_transport::ws::{DataRates, Limits, Settings, WsConn};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio_websockets::{ClientBuilder, WebSocketStream};

pub(crate) const SETTINGS: Settings = Settings {
    limits: Limits { message_bytes: 256 * 1024, fragments: 256 },
    control: Rate { per_second: 10, burst: 50 },
    data: DataRates::OFF,
};

/// A connection with a client at the other end of a pipe that holds `bytes`.
pub(crate) fn pair(bytes: usize) -> (WsConn<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(bytes);
    (WsConn::new(ours, SETTINGS), client(theirs))
}

/// A connection with nothing but a pipe at its other end.
pub(crate) fn raw_pair(bytes: usize) -> (WsConn<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(bytes);
    (WsConn::new(ours, SETTINGS), theirs)
}

pub(crate) fn client<IO: AsyncRead + AsyncWrite + Unpin>(io: IO) -> WebSocketStream<IO> {
    ClientBuilder::new().take_over(io)
}

/// A masked frame with at most 65,535 bytes. The key is zero, so the payload is seen as it is.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ ..=125) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
