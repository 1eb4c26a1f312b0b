//! Listening sockets that outlive a process, and those that two processes share.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::program::{Running, program, run, stderr};

/// Starts the program with `listener` as its first socket of `LISTEN_FDS`: a shell knows the id that the program will have.
fn hand_over(listener: &TcpListener) -> Command {
    let script = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --metrics-listen """#;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_cuttlebone")]).env_clear();
    let socket: std::os::fd::OwnedFd = listener.try_clone().expect("clones").into();
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
