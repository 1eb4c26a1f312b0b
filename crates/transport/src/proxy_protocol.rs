//! The header by which a proxy says whose connection it passes on: the PROXY protocol, versions 1 and 2.
//!
//! It comes before anything else on a connection, TLS included. Nothing behind it is read. What a proxy may say besides the
//! addresses (TLVs of version 2) is skipped. Source: <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// The longest rest of version 2 that is taken. The addresses are at most 216 bytes of it.
const LONGEST_REST: usize = 2048;

/// There is no header, or none that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadHeader {
    /// Something else came.
    #[error("no PROXY header")]
    Missing,
    /// It breaks the rules of the protocol, or is longer than is taken here.
    #[error("a PROXY header that can't be read")]
    Malformed,
}

impl From<BadHeader> for io::Error {
    fn from(bad: BadHeader) -> Self {
        Self::new(io::ErrorKind::InvalidData, bad)
    }
}

/// Reads the header, and not a byte more. Nothing if the connection is the proxy's own, or of a kind that has no such address.
///
/// Not cancel safe: a connection of which a part was read is of no further use.
pub(crate) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    socket.read_exact(&mut start).await?;
    if start == SIGNATURE {
        let mut fixed = [0; 4];
        socket.read_exact(&mut fixed).await?;
        let [command, family, length @ ..] = fixed;
        let length = usize::from(u16::from_be_bytes(length));
        if length > LONGEST_REST {
            return Err(BadHeader::Malformed.into());
        }
        let mut rest = vec![0; length];
        socket.read_exact(&mut rest).await?;
        return Ok(second(command, family, &rest)?);
    }
    if !start.starts_with(WORD) {
        return Err(BadHeader::Missing.into());
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        if line.len() == LONGEST_LINE {
            return Err(BadHeader::Malformed.into());
        }
        // One by one: what is behind the line is not ours to read.
        line.push(socket.read_u8().await?);
    }
    Ok(first(&line)?)
}

/// Version 1: a line of text.
fn first(line: &[u8]) -> Result<Option<SocketAddr>, BadHeader> {
    let text = line.strip_prefix(WORD).and_then(|rest| rest.strip_suffix(b"\r\n"));
    let text = text.and_then(|text| str::from_utf8(text).ok()).ok_or(BadHeader::Malformed)?;
    let fields: Vec<&str> = text.split(' ').collect();
    match &fields[..] {
        // Whatever follows is to be ignored.
        ["UNKNOWN", ..] => Ok(None),
        ["TCP4", source, destination, ports @ ..] => addresses::<Ipv4Addr>(source, destination, ports).map(Some),
        ["TCP6", source, destination, ports @ ..] => addresses::<Ipv6Addr>(source, destination, ports).map(Some),
        _ => Err(BadHeader::Malformed),
    }
}

/// The source, if all four are good.
fn addresses<A: FromStr + Into<IpAddr>>(
    source: &str,
    destination: &str,
    ports: &[&str],
) -> Result<SocketAddr, BadHeader> {
    let address = |text: &str| text.parse::<A>().map_err(|_| BadHeader::Malformed);
    let &[source_port, destination_port] = ports else { return Err(BadHeader::Malformed) };
    let (source, _) = (address(source)?, address(destination)?);
    let (source_port, _) = (port(source_port)?, port(destination_port)?);
    Ok(SocketAddr::new(source.into(), source_port))
}

/// Digits only: what Rust reads as a number may have a sign.
fn port(text: &str) -> Result<u16, BadHeader> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(BadHeader::Malformed)
}

/// Version 2: what follows the signature and these two bytes and the length.
fn second(command: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, BadHeader> {
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(BadHeader::Malformed),
    };
    let source = match family {
        // Unspecified, and sockets of the system: they have no address of the network.
        0x00 | 0x31 | 0x32 => None,
        0x11 => Some(source::<4>(rest)?),
        0x21 => Some(source::<16>(rest)?),
        // Datagrams do not come over a stream.
        _ => return Err(BadHeader::Malformed),
    };
    Ok(source.filter(|_| !is_local))
}

/// The source of two addresses of `N` bytes each, and two ports.
fn source<const N: usize>(rest: &[u8]) -> Result<SocketAddr, BadHeader>
where
    IpAddr: From<[u8; N]>,
{
    let (address, rest) = rest.split_first_chunk::<N>().ok_or(BadHeader::Malformed)?;
    let (_destination, rest) = rest.split_first_chunk::<N>().ok_or(BadHeader::Malformed)?;
    let ([high, low, _, _], _tlvs) = rest.split_first_chunk::<4>().ok_or(BadHeader::Malformed)?;
    Ok(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes([*high, *low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these bytes, and how many are left.
    async fn read_of(bytes: &[u8]) -> (Result<Option<SocketAddr>, Option<BadHeader>>, usize) {
        let mut left = bytes;
        let read = read(&mut left).await;
        let bad = |error: io::Error| error.get_ref().and_then(|inner| inner.downcast_ref().copied());
        (read.map_err(bad), left.len())
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn header_of_either_version_tells_the_source_and_nothing_behind_it_is_read() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        let v6 = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [7; 16]].concat();
        let v6 = [&v6[..], &[0x30, 0x39, 0, 80], &[4, 0, 1, 0]].concat();
        for (header, source) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 80\r\n".to_vec(), "192.0.2.1:12345"),
            (b"PROXY TCP6 2001:db8::1 ::1 12345 80\r\n".to_vec(), "[2001:db8::1]:12345"),
            (version_2(0x21, 0x11, &v4), "192.0.2.1:12345"),
            (version_2(0x21, 0x21, &v6), "[2001:db8::1]:12345"),
        ] {
            let read = read_of(&[&header[..], b"GET /"].concat()).await;
            assert_eq!(read, (Ok(Some(source.parse().expect("an address"))), 5), "{header:?}");
        }
    }

    #[tokio::test]
    async fn connection_of_the_proxy_itself_has_no_source() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n".to_vec(),
            version_2(0x20, 0x00, &[]),
            version_2(0x20, 0x11, &v4),
            version_2(0x21, 0x00, &[1; 7]),
            version_2(0x21, 0x31, &[b'x'; 216]),
        ] {
            assert_eq!(read_of(&header).await, (Ok(None), 0), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let missing = Err(Some(BadHeader::Missing));
        for other in
            [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", b"PROXYxTCP4 1\r\n"]
        {
            assert_eq!(read_of(other).await.0, missing, "{other:?}");
        }
        let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
        let mut bad: Vec<Vec<u8>> = [
            "TCP4 192.0.2.1 10.0.0.1 12345",
            "TCP4 192.0.2.1 10.0.0.1 12345 80 1",
            "TCP4 192.0.2.1 10.0.0.1 65536 80",
            "TCP4 192.0.2.1 10.0.0.1 +1 80",
            "TCP4 192.0.2.1 10.0.0.1  1 80",
            "TCP4 192.0.2.1 10.0.0.1 1 x",
            "TCP4 192.0.2.1 10.0.0 1 80",
            "TCP4 192.0.2.01 10.0.0.1 1 80",
            "TCP4 ::1 ::1 1 80",
            "TCP6 192.0.2.1 10.0.0.1 1 80",
            "UDP4 192.0.2.1 10.0.0.1 1 80",
            "tcp4 192.0.2.1 10.0.0.1 1 80",
            "TCP4 192.0.2.1 10.0.0.1 1 80\n",
            "UNKNOWNX",
        ]
        .map(line)
        .into();
        // No carriage return; not UTF-8; a line without an end.
        bad.push(b"PROXY UNKNOWN\n".to_vec());
        bad.push(b"PROXY UNKNOWN \xff\r\n".to_vec());
        bad.push([b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 4096]].concat());
        for (command, family, rest) in [(0x11, 0x11, 12), (0x22, 0x11, 12), (0x21, 0x11, 11), (0x21, 0x21, 35)] {
            bad.push(version_2(command, family, &vec![1; rest]));
        }
        bad.push(version_2(0x21, 0x12, &[1; 12]));
        bad.push(version_2(0x21, 0x41, &[1; 12]));
        bad.push(version_2(0x21, 0x11, &[1; LONGEST_REST + 1]));
        for header in bad {
            let read = read_of(&header).await.0;
            assert_eq!(read, Err(Some(BadHeader::Malformed)), "{}", String::from_utf8_lossy(&header));
        }
    }

    #[tokio::test]
    async fn header_that_ends_early_is_an_end_and_no_source() {
        for whole in [b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 80\r\n".to_vec(), version_2(0x21, 0x11, &[1; 12])] {
            for end in 0..whole.len() {
                assert_eq!(read_of(&whole[..end]).await.0, Err(None), "{end}");
            }
        }
    }

    /// Whatever comes: an answer, no panic, and no more than the longest header is read.
    #[tokio::test]
    async fn any_bytes_are_answered() {
        let mut dice = 7_u64;
        let mut next = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as u8
        };
        for round in 0..20_000 {
            let mut bytes = match round % 3 {
                0 => version_2(0x20 | (next() & 3), next(), &vec![next(); usize::from(next())]),
                1 => b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 80\r\n".to_vec(),
                _ => vec![next(); 40],
            };
            let at = usize::from(next()) % bytes.len();
            bytes[at] = next();
            let all = bytes.len();
            let (_, left) = read_of(&bytes).await;
            assert!(all - left <= SIGNATURE.len() + 4 + LONGEST_REST);
        }
    }
}
