//! Listening sockets that outlive a process, and those that two processes share.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{Running, file, program, run, stderr};

/// Starts the program with `listener` as its first socket of `LISTEN_FDS`: a shell knows the id that the program will have.
fn hand_over(listener: &TcpListener) -> Command {
    hand_over_socket(listener.try_clone().expect("clones").into(), "")
}

/// The same for any socket, with further arguments.
fn hand_over_socket(socket: OwnedFd, more: &str) -> Command {
    let script = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --metrics-listen "" "#;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{script}{more}"), env!("CARGO_BIN_EXE_cuttlebone")]).env_clear();
    command.stdin(Stdio::from(socket));
    command
}

fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("nobody is refused");
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("writes");
    stream
}

fn is_served(mut stream: TcpStream) -> bool {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    answer.starts_with("HTTP/1.1 200")
}

#[test]
fn connections_wait_in_an_inherited_socket_while_one_process_follows_another() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("an address");
    let mut first = Running::start(hand_over(&listener));
    assert_eq!(first.line(), format!("listening on http://{address}"));
    assert!(is_served(ask(address)));
    first.signal("-TERM");
    assert_eq!(first.code(), Some(0));
    let waiting = ask(address);
    let mut second = Running::start(hand_over(&listener));
    assert_eq!(second.line(), format!("listening on http://{address}"));
    assert!(is_served(waiting));
}

#[test]
fn an_inherited_address_is_judged_as_any_other() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("listens");
    let mut running = Running::start(hand_over(&listener));
    assert!(running.log_line("is not loopback").contains("LISTEN_FDS"));
    assert_eq!(running.code(), Some(78));
}

#[test]
fn two_processes_may_listen_on_one_address_if_both_say_so() {
    let start = |listen: &str| {
        let mut command = program(&["serve", "--metrics-listen", "", "--listen", listen]);
        command.env("CUTTLEBONE__SERVER__REUSE_PORT", "true");
        Running::start(command)
    };
    let mut first = start("127.0.0.1:0");
    let line = first.line();
    let address = line.strip_prefix("listening on http://").expect("listens");
    let mut second = start(address);
    assert_eq!(second.line(), line);
    first.signal("-TERM");
    assert_eq!(first.code(), Some(0));
    assert!(is_served(ask(address.parse().expect("an address"))));
    let third = run(&["serve", "--metrics-listen", "", "--listen", address]);
    assert!(stderr(&third).contains("in use"), "{}", stderr(&third));
}

/// A path for the socket of one test: it has 107 bytes at most.
fn socket_path(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("cuttlebone-{test}-{}.socket", std::process::id()));
    drop(std::fs::remove_file(&path));
    path
}

/// What one request over a unix socket gives.
fn ask_unix(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("listens");
    stream.write_all(b"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    answer
}

#[test]
fn user_of_this_machine_is_whom_the_configuration_says() {
    let path = socket_path("user");
    let own = Command::new("id").arg("-u").output().expect("id runs");
    let own = String::from_utf8_lossy(&own.stdout).trim().to_owned();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"\"\nlisten_unix = {path:?}\nlisten_unix_mode = \"0600\"\n\
         [[access.user]]\nuser = {own}\nname = \"me\"\nroles = [\"observer\"]\n"
    );
    let config = file("unix-user.toml", &config);
    let mut running = Running::start(program(&["serve", "--config", &config]));
    assert!(running.line().starts_with("listening on http://"));
    let answer = ask_unix(&path);
    assert!(answer.ends_with(r#"{"name":"me","roles":["observer"]}"#), "{answer}");
    // A second one does not take the place of the first.
    let second = run(&["serve", "--config", &config]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("server.listen_unix"), "{}", stderr(&second));
    // A rule is read again.
    std::fs::write(&config, std::fs::read_to_string(&config).expect("reads").replace("\"me\"", "\"you\""))
        .expect("writes");
    running.signal("-HUP");
    running.log_line("reloaded");
    assert!(ask_unix(&path).contains(r#""name":"you""#));
    // One that was killed leaves its file, which stops nobody.
    running.signal("-KILL");
    running.code();
    assert!(path.exists());
    let mut next = Running::start(program(&["serve", "--config", &config]));
    next.line();
    assert!(ask_unix(&path).contains(r#""name":"you""#));
    next.signal("-TERM");
    assert_eq!(next.code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn unix_socket_can_be_handed_over_and_keeps_its_file() {
    let path = socket_path("handed");
    let listener = UnixListener::bind(&path).expect("listens");
    let mut running = Running::start(hand_over_socket(listener.into(), "--listen 127.0.0.1:0"));
    assert!(running.line().starts_with("listening on http://"));
    assert!(ask_unix(&path).ends_with(r#"{"roles":[]}"#));
    running.signal("-TERM");
    assert_eq!(running.code(), Some(0));
    assert!(path.exists());
    std::fs::remove_file(path).expect("removes");
}

#[test]
fn proxy_may_come_by_a_unix_socket_that_was_handed_over() {
    let path = socket_path("handed-proxy");
    let listener = UnixListener::bind(&path).expect("listens");
    let arguments = "--listen 127.0.0.1:0 --allow-anonymous --allow-plain-text";
    let mut command = hand_over_socket(listener.into(), arguments);
    command.env("CUTTLEBONE__PROXY__TRUSTED", r#"["unix"]"#);
    let mut running = Running::start(command);
    assert!(running.line().starts_with("listening on http://"));
    assert!(ask_unix(&path).ends_with(r#"{"roles":[]}"#));
    running.signal("-TERM");
    assert_eq!(running.code(), Some(0));
    std::fs::remove_file(path).expect("removes");
}
