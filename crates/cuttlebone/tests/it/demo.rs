use std::io::{Read, Write};
use std::net::TcpStream;

use crate::program::{Running, program};

/// Reads server-sent events until one says that the device is there.
fn wait_for_device(host: &str, id: &str) {
    let mut stream = TcpStream::connect(host).expect("accepts");
    write!(stream, "GET /api/v1/devices/events HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("writes");
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains(&format!("\"device_id\":\"{id}\"")) {
        let count = stream.read(&mut buffer).expect("reads");
        assert!(count > 0, "the stream ended after:\n{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[test]
fn demo_prints_a_page_and_its_device_registers() {
    let mut running = Running::start(program(&["demo", "--id", "demo-7"]));
    let mut line = running.line();
    while !line.contains("http://") {
        line = running.line();
    }
    let page = line[line.find("http://").expect("a page")..].trim().to_owned();
    assert!(page.ends_with("/viewer.html?deviceId=demo-7"), "{page}");
    let host = page["http://".len()..].split('/').next().expect("a host").to_owned();
    wait_for_device(&host, "demo-7");
    running.signal("-INT");
    assert_eq!(running.code(), Some(0));
}

#[test]
fn device_registers_with_a_server_elsewhere() {
    let mut server = Running::start(program(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", ""]));
    let url = server.line().replace("listening on ", "");
    let mut device = Running::start(program(&["device", "--server", &url, "--id", "kiosk"]));
    wait_for_device(url.trim_start_matches("http://"), "kiosk");
    device.signal("-TERM");
    assert_eq!(device.code(), Some(0));
}
