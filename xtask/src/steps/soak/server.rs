//! The server that is looked at: its page of metrics, and its log.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::server::Running;
use crate::shell::command;

/// Without rates: the load is told by its arguments.
const CONFIG: &str = "examples/benchmark.toml";

/// How long the server may take to say something.
const PATIENCE: Duration = Duration::from_secs(10);

/// Free ports, for this machine only.
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];

/// A server that logs and counts as it does in production.
pub(super) struct Server {
    _process: Running,
    pub(super) url: String,
    metrics: String,
}

impl Server {
    /// Starts it. What it logs beside the life of connections is kept in `server.log`.
    pub(super) fn start(program: &str, folder: &Path) -> Result<Self> {
        let mut serve = command(program, &SERVE);
        serve.args(["--config", CONFIG]).env("CUTTLEBONE__LOG__FORMAT", "json").stderr(Stdio::piped());
        let (mut process, url) = Running::listening(serve)?;
        let log = process.stderr().context("its log is not ours")?;
        let kept = File::create(folder.join("server.log")).context("cannot write its log")?;
        let address = follow(log, kept);
        let metrics = address.recv_timeout(PATIENCE).context("the server did not say where its metrics are")?;
        Ok(Self { _process: process, url, metrics })
    }

    /// Its page of metrics.
    pub(super) fn metrics(&self) -> Result<String> {
        get(&self.metrics, "/metrics").context("cannot read the metrics of the server")
    }
}

fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 200 "), "{address}{path} answered {status:?}");
    Ok(answer)
}

/// Reads a log to its end, so that the server never has to drop a line; gives the address of the metrics when it comes by.
fn follow(log: impl Read + Send + 'static, kept: impl Write + Send + 'static) -> Receiver<String> {
    // Nobody takes a second address.
    let (found, address) = sync_channel(1);
    thread::spawn(move || keep(log, kept, &found));
    address
}

fn keep(log: impl Read, mut kept: impl Write, found: &SyncSender<String>) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        match serde_json::from_str::<Line>(&line) {
            Ok(Line { level, address: Some(address), message }) if level == "INFO" && message == "serving /metrics" => {
                drop(found.try_send(address));
            }
            Ok(Line { level, .. }) if level == "INFO" => {}
            // A log that can't be kept is no reason to stop.
            _ => drop(writeln!(kept, "{line}")),
        }
    }
}

/// A line of the log, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    level: String,
    #[serde(default)]
    message: String,
    address: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_address_is_found_in_the_log_and_only_what_is_unusual_is_kept() {
        let log = "{\"level\":\"INFO\",\"message\":\"connected\",\"address\":\"elsewhere\"}\n\
                   {\"level\":\"INFO\",\"message\":\"serving /metrics\",\"address\":\"127.0.0.1:9\"}\n\
                   {\"level\":\"WARN\",\"message\":\"odd\"}\n\
                   no object at all\n";
        let (found, address) = sync_channel(1);
        let mut kept = Vec::new();
        keep(log.as_bytes(), &mut kept, &found);
        assert_eq!(address.try_recv().unwrap(), "127.0.0.1:9");
        let kept = String::from_utf8(kept).unwrap();
        assert_eq!(kept, "{\"level\":\"WARN\",\"message\":\"odd\"}\nno object at all\n");
    }

    /// What is made of an answer.
    fn got(answer: &'static str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let asked: Vec<String> = asked.collect();
            stream.write_all(answer.as_bytes()).unwrap();
            asked
        });
        let page = get(&address, "/metrics");
        let asked = server.join().unwrap();
        assert_eq!(asked, ["GET /metrics HTTP/1.1", &format!("Host: {address}"), "Connection: close"]);
        page
    }

    #[test]
    fn only_a_page_that_is_there_is_a_page() {
        assert!(got("HTTP/1.1 200 OK\r\n\r\npanics 0\n").unwrap().ends_with("panics 0\n"));
        let error = got("HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err().to_string();
        assert!(error.contains("503"), "{error}");
    }
}
