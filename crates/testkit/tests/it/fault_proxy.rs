//! Each fault of the proxy makes a difference, and ends.

use std::io;
use std::num::NonZeroUsize;
use std::process::Stdio;
use std::time::Duration;

use cuttlebone_testkit::fault_proxy::{Counts, Direction, FaultProxy};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

/// Long enough for what is passed on at once; short enough to wait for what must not come.
const WHILE: Duration = Duration::from_millis(100);

/// A proxy with one connection through it.
struct Line {
    target: TcpListener,
    proxy: FaultProxy,
    client: TcpStream,
    server: TcpStream,
}

impl Line {
    async fn open() -> Self {
        let target = listener().await;
        let proxy = FaultProxy::start(&address(&target)).await.expect("a free port");
        let (client, server) = connect(&proxy, &target).await;
        Self { target, proxy, client, server }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

fn address(listener: &TcpListener) -> std::net::SocketAddr {
    listener.local_addr().expect("bound")
}

async fn connect(proxy: &FaultProxy, target: &TcpListener) -> (TcpStream, TcpStream) {
    let (client, accepted) = tokio::join!(TcpStream::connect(proxy.address()), target.accept());
    (client.expect("connected"), accepted.expect("accepted").0)
}

async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.expect("as many bytes");
    bytes
}

/// Everything that can be read, and whether a reset ended it.
async fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    let was_reset = ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
    (bytes, was_reset)
}

async fn is_quiet(stream: &mut TcpStream) -> bool {
    timeout(WHILE, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_go_both_ways_and_are_counted() {
    let mut line = Line::open().await;
    let long: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (sent, got) = tokio::join!(line.client.write_all(&long), read(&mut line.server, long.len()));
    sent.expect("sent");
    assert!(got == long);
    line.server.write_all(b"answer").await.expect("sent");
    assert_eq!(read(&mut line.client, 6).await, b"answer");
    let counts = line.proxy.until(|counts| counts.down == 6).await;
    assert_eq!(counts, Counts { connections: 1, open: 1, reset: 0, up: 1_000_000, down: 6 });
}

#[tokio::test]
async fn the_end_of_each_direction_is_passed_on_by_itself() {
    let mut line = Line::open().await;
    line.client.shutdown().await.expect("shut down");
    assert_eq!(read_to_end(&mut line.server).await, (vec![], false));
    line.server.write_all(b"still here").await.expect("sent");
    drop(line.server);
    assert_eq!(read_to_end(&mut line.client).await, (b"still here".to_vec(), false));
    let counts = line.proxy.until(|counts| counts.open == 0).await;
    assert_eq!((counts.connections, counts.reset), (1, 0));
}

#[tokio::test]
async fn reset_is_passed_on_as_reset() {
    let mut line = Line::open().await;
    line.client.write_all(b"unread").await.expect("sent");
    line.proxy.until(|counts| counts.up == 6).await;
    // Closing with something unread is a reset.
    drop(line.server);
    assert_eq!(read_to_end(&mut line.client).await, (vec![], true));
    assert_eq!(line.proxy.until(|counts| counts.open == 0).await.reset, 1);
}

#[tokio::test]
async fn delay_holds_each_chunk() {
    let mut line = Line::open().await;
    let begun = Instant::now();
    line.proxy.delay(WHILE);
    line.client.write_all(b"late").await.expect("sent");
    assert_eq!(read(&mut line.server, 4).await, b"late");
    assert!(begun.elapsed() >= WHILE, "{:?}", begun.elapsed());
    line.proxy.delay(Duration::from_secs(3600));
    line.client.write_all(b"very late").await.expect("sent");
    assert!(is_quiet(&mut line.server).await);
    line.proxy.delay(Duration::ZERO);
    assert_eq!(read(&mut line.server, 9).await, b"very late");
}

#[tokio::test]
async fn stall_lets_nothing_pass_until_it_is_cleared() {
    let mut line = Line::open().await;
    line.proxy.stall();
    line.client.write_all(b"up").await.expect("sent");
    line.server.write_all(b"down").await.expect("sent");
    line.server.shutdown().await.expect("shut down");
    let quiet = tokio::join!(is_quiet(&mut line.client), is_quiet(&mut line.server));
    assert_eq!(quiet, (true, true));
    assert_eq!((line.proxy.counts().up, line.proxy.counts().down), (0, 0));
    line.proxy.clear();
    assert_eq!(read(&mut line.server, 2).await, b"up");
    assert_eq!(read_to_end(&mut line.client).await, (b"down".to_vec(), false));
}

#[tokio::test]
async fn stall_holds_the_end_of_a_direction_too() {
    let mut line = Line::open().await;
    line.proxy.stall();
    line.client.shutdown().await.expect("shut down");
    assert!(is_quiet(&mut line.server).await);
    line.proxy.clear();
    assert_eq!(read_to_end(&mut line.server).await, (vec![], false));
}

#[tokio::test]
async fn stall_for_a_time_ends_by_itself() {
    let mut line = Line::open().await;
    let begun = Instant::now();
    line.proxy.stall_for(WHILE);
    line.client.write_all(b"up").await.expect("sent");
    assert_eq!(read(&mut line.server, 2).await, b"up");
    assert!(begun.elapsed() >= WHILE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn stalled_receiver_stops_the_sender() {
    let mut line = Line::open().await;
    line.proxy.stall();
    let endless = async {
        loop {
            line.client.write_all(&[0; 64 * 1024]).await.expect("sent");
        }
    };
    assert!(timeout(WHILE * 5, endless).await.is_err(), "the proxy took everything");
}

#[tokio::test]
async fn cut_resets_both_sides_and_later_connections_are_whole() {
    let mut line = Line::open().await;
    line.client.write_all(b"before").await.expect("sent");
    assert_eq!(read(&mut line.server, 6).await, b"before");
    line.proxy.cut().await;
    let counts = line.proxy.counts();
    assert_eq!((counts.open, counts.reset), (0, 1));
    assert_eq!(read_to_end(&mut line.client).await, (vec![], true));
    assert_eq!(read_to_end(&mut line.server).await, (vec![], true));
    let (mut client, mut server) = connect(&line.proxy, &line.target).await;
    client.write_all(b"after").await.expect("sent");
    assert_eq!(read(&mut server, 5).await, b"after");
}

#[tokio::test]
async fn cut_after_lets_exactly_so_many_bytes_pass() {
    for (direction, bytes) in
        [(Direction::Up, 0), (Direction::Up, 1), (Direction::Up, 9), (Direction::Down, 0), (Direction::Down, 5)]
    {
        let mut line = Line::open().await;
        line.proxy.cut_after(direction, bytes as u64);
        let (from, to) = match direction {
            Direction::Up => (&mut line.client, &mut line.server),
            Direction::Down => (&mut line.server, &mut line.client),
        };
        from.write_all(b"0123456789").await.expect("sent");
        assert_eq!(read_to_end(to).await, (b"0123456789"[..bytes].to_vec(), true), "{direction:?} {bytes}");
        assert!(read_to_end(from).await.1);
        // It happens once.
        let (mut client, mut server) = connect(&line.proxy, &line.target).await;
        client.write_all(b"0123456789").await.expect("sent");
        assert_eq!(read(&mut server, 10).await, b"0123456789");
    }
}

#[tokio::test]
async fn cut_after_counts_over_several_chunks() {
    let mut line = Line::open().await;
    line.proxy.cut_after(Direction::Up, 5);
    line.client.write_all(b"0123").await.expect("sent");
    assert_eq!(read(&mut line.server, 4).await, b"0123");
    line.client.write_all(b"4567").await.expect("sent");
    assert_eq!(read_to_end(&mut line.server).await, (b"4".to_vec(), true));
}

#[tokio::test]
async fn cut_after_does_not_mind_the_other_direction_and_can_be_cleared() {
    let mut line = Line::open().await;
    line.proxy.cut_after(Direction::Up, 2);
    line.server.write_all(b"down").await.expect("sent");
    assert_eq!(read(&mut line.client, 4).await, b"down");
    line.proxy.clear();
    line.client.write_all(b"up up").await.expect("sent");
    assert_eq!(read(&mut line.server, 5).await, b"up up");
}

#[tokio::test]
async fn cut_after_ends_every_connection() {
    let mut line = Line::open().await;
    let (mut other, _other_server) = connect(&line.proxy, &line.target).await;
    line.proxy.cut_after(Direction::Up, 1);
    line.client.write_all(b"x").await.expect("sent");
    assert!(read_to_end(&mut other).await.1);
    assert_eq!(line.proxy.until(|counts| counts.open == 0).await.reset, 2);
}

#[tokio::test]
async fn half_close_ends_one_direction_and_the_other_goes_on() {
    for direction in [Direction::Up, Direction::Down] {
        let mut line = Line::open().await;
        line.proxy.half_close(direction);
        let (from, to) = match direction {
            Direction::Up => (&mut line.client, &mut line.server),
            Direction::Down => (&mut line.server, &mut line.client),
        };
        assert_eq!(read_to_end(to).await, (vec![], false), "{direction:?}");
        from.write_all(b"thrown away").await.expect("sent");
        to.write_all(b"answer").await.expect("sent");
        assert_eq!(read(from, 6).await, b"answer");
        let (mut client, mut server) = connect(&line.proxy, &line.target).await;
        client.write_all(b"whole").await.expect("sent");
        assert_eq!(read(&mut server, 5).await, b"whole");
    }
}

#[tokio::test]
async fn slice_gives_the_receiver_a_few_bytes_at_a_time() {
    let mut line = Line::open().await;
    let whole = most_at_once(&mut line).await;
    assert_eq!(whole, 100);
    line.proxy.slice(NonZeroUsize::new(3).expect("positive"));
    let sliced = most_at_once(&mut line).await;
    assert_eq!(sliced, 3);
}

/// Sends 100 bytes and gives the most that the receiver reads at once. The receiver is ready whenever something comes:
/// all of this is on one thread.
async fn most_at_once(line: &mut Line) -> usize {
    line.client.write_all(&[7; 100]).await.expect("sent");
    let (mut left, mut most) = (100, 0);
    while left > 0 {
        let count = line.server.read(&mut [0; 128]).await.expect("bytes");
        (left, most) = (left - count, most.max(count));
    }
    most
}

#[tokio::test]
async fn new_connections_go_elsewhere_when_told() {
    let mut line = Line::open().await;
    let elsewhere = listener().await;
    line.proxy.to(&address(&elsewhere));
    let (mut client, mut server) = connect(&line.proxy, &elsewhere).await;
    client.write_all(b"new").await.expect("sent");
    assert_eq!(read(&mut server, 3).await, b"new");
    line.client.write_all(b"old").await.expect("sent");
    assert_eq!(read(&mut line.server, 3).await, b"old");
}

#[tokio::test]
async fn target_that_is_not_there_resets_the_client() {
    let target = address(&listener().await);
    let proxy = FaultProxy::start(&target).await.expect("a free port");
    let mut client = TcpStream::connect(proxy.address()).await.expect("connected");
    assert!(read_to_end(&mut client).await.1);
    assert_eq!(proxy.until(|counts| counts.open == 0).await.reset, 1);
}

#[tokio::test]
async fn dropping_the_proxy_resets_its_connections() {
    let mut line = Line::open().await;
    let address = line.proxy.address();
    drop(line.proxy);
    assert!(read_to_end(&mut line.client).await.1);
    assert!(read_to_end(&mut line.server).await.1);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_program_obeys_lines_and_ends_with_its_input() {
    let target = listener().await;
    let mut program = Command::new(env!("CARGO_BIN_EXE_fault-proxy"))
        .args(["--to", &address(&target).to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("started");
    let mut stdin = program.stdin.take().expect("piped");
    let mut lines = BufReader::new(program.stdout.take().expect("piped")).lines();
    let first = lines.next_line().await.expect("text").expect("a line");
    let proxy = first.strip_prefix("listening on ").expect("its address");
    let (client, accepted) = tokio::join!(TcpStream::connect(proxy), target.accept());
    let (mut client, mut server) = (client.expect("connected"), accepted.expect("accepted").0);
    client.write_all(b"up").await.expect("sent");
    assert_eq!(read(&mut server, 2).await, b"up");
    // Bytes are counted when they are written: the server may have them already.
    let mut counts = String::new();
    while counts != "ok connections=1 open=1 reset=0 up=2 down=0" {
        assert!(counts.is_empty() || counts == "ok connections=1 open=1 reset=0 up=0 down=0", "{counts}");
        stdin.write_all(b"counts\n").await.expect("sent");
        counts = lines.next_line().await.expect("text").expect("an answer");
    }
    for (command, answer) in [
        ("slice 0", "error usage: slice BYTES"),
        ("cut", "ok"),
        ("counts", "ok connections=1 open=0 reset=1 up=2 down=0"),
    ] {
        stdin.write_all(format!("{command}\n").as_bytes()).await.expect("sent");
        assert_eq!(lines.next_line().await.expect("text").as_deref(), Some(answer), "{command}");
    }
    assert!(read_to_end(&mut client).await.1);
    drop(stdin);
    assert!(program.wait().await.expect("ended").success());
}
