//! `cuttlebone health`: asks `/readyz`, for container health checks and scripts.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::config_doc::print;
use crate::cli::HealthArgs;

const TIMEOUT: Duration = Duration::from_secs(5);
/// More than the answer of `/readyz` ever has.
const MAX_ANSWER: u64 = 16 * 1024;

pub(super) fn run(args: &HealthArgs) -> Result<ExitCode> {
    // By itself, so that all of it has one bound, also where the answer comes in pieces. It ends with the process.
    let (send, answer) = mpsc::channel();
    let url = args.url.clone();
    thread::spawn(move || send.send(get(&url)));
    let Ok(answer) = answer.recv_timeout(TIMEOUT) else {
        bail!("{} did not answer in {} seconds", args.url, TIMEOUT.as_secs());
    };
    let answer = answer?;
    let status = answer.split_ascii_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        return print("ready\n");
    }
    // Whatever else stands there is not for a terminal.
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("{} does not answer in HTTP", args.url);
    }
    if status == "401" {
        bail!("{} asks for a token; ask where /metrics is, such as --url http://127.0.0.1:9090", args.url);
    }
    print(&format!("not ready: status {status}\n"))?;
    Ok(ExitCode::FAILURE)
}

/// One plain HTTP/1.1 request; the answer as it came.
fn get(url: &str) -> Result<String> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("{url}: expected http://HOST:PORT");
    };
    let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let path = if prefix.is_empty() { "/readyz".to_owned() } else { format!("/{prefix}/readyz") };
    let target = if host.contains("]:") || (host.contains(':') && !host.ends_with(']')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = target.to_socket_addrs().with_context(|| format!("cannot find {host}"))?.next();
    let address = address.with_context(|| format!("{host} has no address"))?;
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot reach {url}"))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).with_context(|| format!("{url} did not answer"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
