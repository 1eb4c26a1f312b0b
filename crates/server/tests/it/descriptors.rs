//! A process that has no file descriptor left.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::support::{PATIENCE, Peer, Running, value};

const LIMIT: u64 = 64;
const METRICS: &str = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
const EXHAUSTED: &str = r#"cuttlebone_accept_errors_total{kind="exhausted"}"#;

/// The limit holds for a process, so this runs itself again in one that has a low limit.
#[tokio::test]
async fn t50_server_without_descriptors_waits_and_recovers() {
    if getrlimit(Resource::Nofile).current == Some(LIMIT) {
        return exhausted().await;
    }
    let test = "descriptors::t50_server_without_descriptors_waits_and_recovers";
    let script = format!("ulimit -n {LIMIT} && exec \"$0\" --exact {test} --nocapture");
    let program = std::env::current_exe().expect("this test");
    let output = Command::new("sh").arg("-c").arg(script).arg(program).output().expect("started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether a request is answered; a server that is full may hang up on it.
async fn is_served(addr: SocketAddr) -> bool {
    let Ok(mut socket) = tokio::net::TcpStream::connect(addr).await else { return false };
    let mut answer = Vec::new();
    let _ = socket.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let _ = socket.read_to_end(&mut answer).await;
    answer.starts_with(b"HTTP/1.1 200")
}

async fn exhausted() {
    let server = Running::start();
    let mut metrics = Peer::connect(server.metrics).await;
    metrics.send(METRICS).await;
    assert_eq!(value(&metrics.answer().await.text(), EXHAUSTED), 0);

    // The kernel completes these by itself; the server has no descriptor left to accept the last of them with.
    let mut flood = Vec::new();
    while let Ok(socket) = TcpStream::connect(server.addr) {
        flood.push(socket);
    }
    let begun = Instant::now();
    let mut errors = 0;
    while errors < 4 {
        assert!(begun.elapsed() < PATIENCE, "the server saw no error");
        metrics.send(METRICS).await;
        errors = value(&metrics.answer().await.text(), EXHAUSTED);
    }
    // 10 + 20 + 40 ms must have passed: the loop is not busy.
    assert!(begun.elapsed() >= Duration::from_millis(60), "{errors} errors in {:?}", begun.elapsed());
    assert!(errors < 10, "{errors} errors in {:?}", begun.elapsed());

    drop(flood);
    let freed = Instant::now();
    while !is_served(server.addr).await {
        assert!(freed.elapsed() < Duration::from_millis(1500), "not back in time");
    }
}
