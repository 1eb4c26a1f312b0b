//! `cuttlebone device` and its token, against a listener that answers by hand. The real thing is tested in `server`.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::program::{file, program, run, stderr};

const ANSWER: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn token_file(name: &str, text: &str, mode: u32) -> String {
    let path = file(name, text);
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("sets the mode");
    path
}

#[test]
fn token_of_a_file_is_shown_and_one_that_is_refused_is_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let path = token_file("device.token", "cbt_CANARY\n", 0o600);
    let arguments = ["device", "--server", &url, "--id", "d", "--log-level", "trace", "--token-file", &path];
    let child = program(&arguments).stderr(std::process::Stdio::piped()).spawn().expect("starts");
    let (mut tcp, _) = listener.accept().expect("a device");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).expect("a request");
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    assert!(head.contains("authorization: Bearer cbt_CANARY\r\n"), "{head}");
    tcp.write_all(ANSWER).expect("answers");
    let output = child.wait_with_output().expect("ends");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("401") && said.contains("given up") && !said.contains("CANARY"), "{said}");
}

#[test]
fn token_that_others_may_read_is_not_shown_to_anybody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    listener.set_nonblocking(true).expect("sets it");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    for (mode, shown) in [(0o640, "640"), (0o604, "604"), (0o620, "620"), (0o601, "601")] {
        let path = token_file("open.token", "cbt_CANARY\n", mode);
        let output = run(&["device", "--server", &url, "--id", "d", "--token-file", &path]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&path) && said.contains(shown) && said.contains("chmod go= "), "{said}");
        assert!(!said.contains("CANARY"), "{said}");
    }
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn key_that_others_may_read_is_not_used() {
    let certificate = file("device.pem", "");
    for (mode, expected) in [(0o640, "chmod go= "), (0o600, "no certificate in the PEM text")] {
        let key = token_file("device.key", "CANARY", mode);
        let arguments = ["device", "--server", "https://127.0.0.1:1", "--id", "d"];
        let output = run(&[&arguments[..], &["--client-cert", &certificate, "--client-key", &key]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&key) && said.contains(expected) && !said.contains("CANARY"), "{said}");
    }
}

#[test]
fn file_without_a_token_is_a_fault_that_does_not_repeat_it() {
    for (name, text) in [("empty.token", ""), ("broken.token", "cbt_CANARY and more\n")] {
        let path = token_file(name, text, 0o600);
        let output = run(&["device", "--server", "http://127.0.0.1:1", "--id", "d", "--token-file", &path]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&path) && said.contains("a token has") && !said.contains("CANARY"), "{said}");
    }
}
