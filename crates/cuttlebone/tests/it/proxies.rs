//! The real program behind real proxies, with the configurations of `deploy/`.
//!
//! What is in those files is what is tested, but for the addresses, names and files that have to be others here.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cuttlebone_client::raw::{self, RawConn, RawEvent};
use cuttlebone_client::{Endpoint, Token, Trust};
use cuttlebone_server::TlsSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, timeout};

use crate::program::{Running, file, file_with_mode, program, run, stderr, stdout};

const PATIENCE: Duration = Duration::from_secs(20);
/// Where a client is that no other test has.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 8, 9, 10);
const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The server behind a proxy of this machine.
struct Behind {
    running: Running,
    address: SocketAddr,
    token: String,
}

impl Behind {
    /// `server` is further configuration of its section, `more` of others.
    fn start(name: &str, server: &str, more: &str) -> Self {
        let tokens = file_with_mode(&format!("{name}.tokens"), "", 0o600);
        let made =
            run(&["token", "new", "--name", "x", "--role", "device,client", "--devices", "*", "--append-to", &tokens]);
        assert!(made.status.success(), "{}", stderr(&made));
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"\"\nallowed_origins = [\"https://signal.example\"]\n\
             {server}[access]\ntokens_file = {tokens:?}\n[log]\nformat = \"text\"\n{more}\n"
        );
        let config = file(&format!("{name}.toml"), &config);
        let mut running = Running::start(program(&["serve", "--config", &config]));
        let line = running.line();
        let address = line.rsplit('/').next().and_then(|text| text.parse().ok());
        let Some(address) = address else { panic!("{line:?}: {}", running.log_line("fault")) };
        Self { running, address, token: stdout(&made).trim_end().to_owned() }
    }

    /// An attempt with a bad token through `proxy`, and from where the server saw it come.
    async fn seen_from(&mut self, proxy: SocketAddr, headers: &str) -> String {
        let answer = ask(proxy, "/devices", &format!("authorization: Bearer nonsense\r\n{headers}")).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        let line = self.running.log_line("not recognised");
        let peer = line.split("peer=").nth(1).and_then(|rest| rest.split_whitespace().next());
        peer.unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.token)
    }
}

/// A proxy; killed when dropped.
struct Proxy {
    child: Child,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Proxy {
    /// Starts it on `N` free ports, which `command` is told, and waits until it listens on them.
    async fn start<const N: usize>(mut command: impl FnMut([u16; N]) -> Command) -> (Self, [SocketAddr; N]) {
        // Somebody else may take a port between the look and the start.
        for _ in 0..5 {
            let ports = free_ports();
            let mut command = command(ports);
            let program = command.get_program().to_string_lossy().into_owned();
            let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let child = spawned.unwrap_or_else(|error| {
                panic!("{program} is needed for this test: {error} (cargo xtask ci --only tools)")
            });
            let mut proxy = Self { child };
            let addresses = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            if proxy.listens(&addresses).await {
                return (proxy, addresses);
            }
            let mut said = String::new();
            drop(proxy.child.stderr.take().expect("piped").read_to_string(&mut said));
            assert!(said.contains("in use"), "{program}: {said}");
        }
        panic!("no port stayed free");
    }

    /// False if it has ended instead.
    async fn listens(&mut self, addresses: &[SocketAddr]) -> bool {
        let begun = Instant::now();
        let mut tick = interval(Duration::from_millis(20));
        for address in addresses {
            while TcpStream::connect(address).await.is_err() {
                if self.child.try_wait().expect("ours").is_some() {
                    return false;
                }
                assert!(begun.elapsed() < PATIENCE, "it does not listen");
                tick.tick().await;
            }
        }
        true
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// A file of `deploy/` with some of its texts replaced, each of which must be there.
fn deployed(path: &str, replace: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path);
    let mut text = std::fs::read_to_string(&path).expect("it is there");
    for (from, to) in replace {
        assert!(text.contains(from), "{from:?} is not in {}", path.display());
        text = text.replace(from, to);
    }
    text
}

/// A certificate for `localhost`, made for one test: its file, key included, and its fingerprint.
fn certificate(name: &str) -> (PathBuf, String) {
    let state_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let tls = TlsSettings::SelfSigned { state_dir: state_dir.clone(), names: Vec::new() }.load().expect("made");
    (state_dir.join("self-signed.pem"), tls.fingerprint().expect("it has a certificate").to_string())
}

async fn connect(proxy: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((CLIENT, 0).into()).expect("loopback has them all");
    socket.connect(proxy).await.expect("the proxy accepts")
}

/// Everything that comes of one request.
async fn ask(proxy: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = send(proxy, path, &format!("connection: close\r\n{headers}")).await;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time").expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn send(proxy: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = connect(proxy).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: signal.example\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// What comes until `mark` is there.
async fn until(stream: &mut TcpStream, mark: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&seen).contains(mark) {
            if stream.read_buf(&mut seen).await.is_ok_and(|read| read == 0) {
                break;
            }
        }
    };
    let in_time = timeout(PATIENCE, reading).await.is_ok();
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert!(in_time && text.contains(mark), "no {mark:?} in {text}");
    text
}

/// A device and a client over TLS through the proxy, talking.
async fn talk(behind: &Behind, proxy: SocketAddr, fingerprint: &str, id: &str) {
    let trust = Trust::fingerprint(fingerprint).expect("a fingerprint");
    let token = Token::new(&behind.token).expect("a token");
    let endpoint = Endpoint::parse(&format!("wss://{proxy}")).expect("an address");
    let endpoint = endpoint.with_trust(trust).expect("good").with_credential(token);
    let mut device = raw::connect(&endpoint, "/register_device", &[]).await.expect("upgraded");
    device.send_text(format!(r#"{{"message_type":"register","device_id":"{id}"}}"#)).await.expect("sent");
    expect(&mut device, "config").await;
    let mut client = raw::connect(&endpoint, "/connect_client", &[]).await.expect("upgraded");
    client.send_text(format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#)).await.expect("sent");
    expect(&mut client, "config").await;
    expect(&mut client, "device_info").await;
    let payload = "x".repeat(100_000);
    client.send_text(format!(r#"{{"message_type":"forward","payload":"{payload}"}}"#)).await.expect("sent");
    assert!(expect(&mut device, "client_msg").await.contains(&payload));
}

async fn expect(conn: &mut RawConn, message_type: &str) -> String {
    loop {
        match timeout(PATIENCE, conn.next()).await.expect("in time") {
            Some(RawEvent::Text(text)) if text.contains(&format!(r#""message_type":"{message_type}""#)) => return text,
            Some(RawEvent::Ping | RawEvent::Pong) => {}
            other => panic!("{other:?} instead of {message_type}"),
        }
    }
}

/// All that a proxy which speaks HTTP has to do, over its port without TLS.
async fn passes_on_what_it_must(behind: &mut Behind, proxy: SocketAddr) {
    let bearer = behind.bearer();
    let mut origins = String::new();
    for origin in ["https://signal.example", "https://evil.example"] {
        let mut stream = send(proxy, "/connect_client", &format!("{UPGRADE}{bearer}origin: {origin}\r\n")).await;
        let _ = writeln!(origins, "{}", until(&mut stream, "\r\n").await.lines().next().expect("a line"));
    }
    assert!(origins.contains("101") && origins.contains("403"), "{origins}");

    let mut events = send(proxy, "/api/v1/devices/events", &bearer).await;
    until(&mut events, "event: snapshot").await;
    let mut device = send(proxy, "/register_device", &format!("{UPGRADE}{bearer}")).await;
    until(&mut device, "\r\n\r\n").await;
    let register = br#"{"message_type":"register","device_id":"seen"}"#;
    let frame = [&[0x81, 0x80 | register.len() as u8, 0, 0, 0, 0][..], register].concat();
    device.write_all(&frame).await.expect("sent");
    until(&mut events, "event: registered").await;

    let expected = format!("{CLIENT}:0");
    assert_eq!(behind.seen_from(proxy, "").await, expected);
    for spoofed in ["x-forwarded-for: 9.9.9.9\r\n", "x-forwarded-for: 127.0.0.1\r\nx-forwarded-for: 9.9.9.9\r\n"] {
        assert_eq!(behind.seen_from(proxy, spoofed).await, expected, "{spoofed}");
    }
    // The server's answer to the proxy's word, and not to the page's.
    let signing_in = |stream: &str| stream.contains("__Host-");
    let mut session = connect(proxy).await;
    let request = format!(
        "POST /api/v1/session HTTP/1.1\r\nhost: signal.example\r\nconnection: close\r\ncontent-length: 0\r\n\
         x-forwarded-proto: https\r\norigin: https://signal.example\r\n{bearer}\r\n"
    );
    session.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    timeout(PATIENCE, session.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 204") && !signing_in(&answer), "this port has no TLS: {answer}");
}

/// Who begins a handshake, or a request, and does not go on is hung up on: the server does not see them, and can't.
async fn hangs_up_on_who_is_slow(proxy: SocketAddr, begun: &[u8]) {
    let mut stream = connect(proxy).await;
    stream.write_all(begun).await.expect("sent");
    // What it says before, it may say.
    let ended = timeout(LONGEST_HALF, stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "{begun:?} is waited on");
}

/// Ten seconds, and some for a busy machine.
const LONGEST_HALF: Duration = Duration::from_secs(25);
/// The beginning of a TLS handshake.
const HALF_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
const HALF_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: signal.example\r\nx-half: ";

/// A directory for what a proxy writes.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).expect("made");
    path
}

/// Proxies are where only the administrator looks.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    command.env("PATH", path);
    command
}

/// As many as the limit of open files of a test may be enough for.
const MAXCONN: (&str, &str) = ("maxconn 20000", "maxconn 200");

const TRUSTED: &str = "[proxy]\ntrusted = [\"127.0.0.1\"]";

/// nginx with our configuration, in front of `server`: with TLS, and without.
async fn nginx(name: &str, certificate: &Path, server: &str) -> (Proxy, [SocketAddr; 2]) {
    let directory = directory(name);
    let start = |[tls, plain]: [u16; 2]| {
        let config = deployed(
            "nginx/cuttlebone.conf",
            &[
                ("server 127.0.0.1:8080;", &format!("server {server};")),
                ("listen 443 ssl;", &format!("listen 127.0.0.1:{tls} ssl; listen 127.0.0.1:{plain};")),
                ("/etc/letsencrypt/live/signal.example/fullchain.pem", &certificate.to_string_lossy()),
                ("/etc/letsencrypt/live/signal.example/privkey.pem", &certificate.to_string_lossy()),
            ],
        );
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().fold(String::new(), |mut all, what| {
                let _ = writeln!(all, "{what}_temp_path {}/{what};", directory.display());
                all
            });
        // One process, so that none outlives the test.
        let all = format!(
            "daemon off; master_process off; error_log stderr; pid {}/pid;\nevents {{}}\n\
             http {{ access_log off;\n{temporary}\n{config}\n}}\n",
            directory.display()
        );
        let path = directory.join("nginx.conf");
        std::fs::write(&path, all).expect("written");
        let mut nginx = command("nginx");
        nginx.arg("-p").arg(&directory).arg("-c").arg(path).args(["-e", "stderr"]);
        nginx
    };
    Proxy::start(start).await
}

#[tokio::test]
async fn nginx_passes_on_what_it_must() {
    let mut behind = Behind::start("nginx", "", TRUSTED);
    let (certificate, fingerprint) = certificate("nginx-certificate");
    let (_nginx, [tls, plain]) = nginx("nginx", &certificate, &behind.address.to_string()).await;
    talk(&behind, tls, &fingerprint, "by-nginx").await;
    passes_on_what_it_must(&mut behind, plain).await;
    tokio::join!(hangs_up_on_who_is_slow(tls, HALF_HELLO), hangs_up_on_who_is_slow(plain, HALF_HEAD));
}

#[tokio::test]
async fn nginx_by_the_unix_socket_passes_on_what_it_must_and_no_other_program_is_believed() {
    let path = std::env::temp_dir().join(format!("cuttlebone-nginx-{}.socket", std::process::id()));
    let unix = format!("listen_unix = {path:?}\n");
    let mut behind = Behind::start("nginx-unix", &unix, "[proxy]\ntrusted = [\"unix\"]");
    let (certificate, fingerprint) = certificate("nginx-unix-certificate");
    let (_nginx, [tls, plain]) = nginx("nginx-unix", &certificate, &format!("unix:{}", path.display())).await;
    talk(&behind, tls, &fingerprint, "by-unix").await;
    passes_on_what_it_must(&mut behind, plain).await;
    let seen = behind.seen_from(behind.address, "x-forwarded-for: 9.9.9.9\r\n").await;
    assert!(seen.starts_with(&format!("{CLIENT}:")), "{seen}");
}

#[tokio::test]
async fn haproxy_passes_on_what_it_must() {
    let mut behind = Behind::start("haproxy", "", TRUSTED);
    let (certificate, fingerprint) = certificate("haproxy-certificate");
    let path = directory("haproxy").join("haproxy.cfg");
    let start = |[tls, plain]: [u16; 2]| {
        let config = deployed(
            "haproxy/haproxy.cfg",
            &[
                MAXCONN,
                ("server one 127.0.0.1:8080", &format!("server one {}", behind.address)),
                ("bind :443 ssl", &format!("bind 127.0.0.1:{plain}\n    bind 127.0.0.1:{tls} ssl")),
                ("/etc/haproxy/signal.example.pem", &certificate.to_string_lossy()),
            ],
        );
        std::fs::write(&path, config).expect("written");
        let mut haproxy = command("haproxy");
        haproxy.args(["-db", "-f"]).arg(&path);
        haproxy
    };
    let (_haproxy, [tls, plain]) = Proxy::start(start).await;
    talk(&behind, tls, &fingerprint, "by-haproxy").await;
    passes_on_what_it_must(&mut behind, plain).await;
    hangs_up_on_who_is_slow(plain, HALF_HEAD).await;
}

#[tokio::test]
async fn haproxy_passes_connections_on_and_says_whose_they_are() {
    let (certificate, fingerprint) = certificate("haproxy-tcp-certificate");
    let tls = format!(
        "{TRUSTED}\nprotocol = \"v1-v2\"\n[tls]\nmode = \"files\"\ncert_file = {certificate:?}\nkey_file = {certificate:?}"
    );
    let mut encrypted = Behind::start("haproxy-tcp", "", &tls);
    let mut plain = Behind::start("haproxy-tcp-plain", "", &format!("{TRUSTED}\nprotocol = \"v1-v2\""));
    let directory = directory("haproxy-tcp");
    let start = async |name: &str, server: SocketAddr| {
        Proxy::start(|[port]: [u16; 1]| {
            let config = deployed(
                "haproxy/haproxy-tcp.cfg",
                &[
                    MAXCONN,
                    ("server one 127.0.0.1:8443", &format!("server one {server}")),
                    ("bind :443", &format!("bind 127.0.0.1:{port}")),
                ],
            );
            let path = directory.join(name);
            std::fs::write(&path, config).expect("written");
            let mut haproxy = command("haproxy");
            haproxy.args(["-db", "-f"]).arg(&path);
            haproxy
        })
        .await
    };
    let (_first, [address]) = start("tls.cfg", encrypted.address).await;
    talk(&encrypted, address, &fingerprint, "by-tcp").await;
    let log = encrypted.running.log_until("registered");
    assert!(log.contains("127.0.0.1"), "{log}");
    let (_second, [address]) = start("plain.cfg", plain.address).await;
    let seen = plain.seen_from(address, "x-forwarded-for: 9.9.9.9\r\n").await;
    assert!(seen.starts_with(&format!("{CLIENT}:")) && !seen.ends_with(":0"), "{seen}");
}

#[tokio::test]
async fn caddy_passes_on_what_it_must() {
    let mut behind = Behind::start("caddy", "", TRUSTED);
    let directory = directory("caddy");
    let start = |[plain]: [u16; 1]| {
        let config = deployed(
            "caddy/Caddyfile",
            &[
                // One block of options only.
                ("\tservers {", "\tadmin off\n\tauto_https off\n\tservers {"),
                ("127.0.0.1:8080", &behind.address.to_string()),
                // With a name it would ask for a certificate, which nobody gives here.
                ("signal.example {", &format!("http://:{plain} {{\n\tbind 127.0.0.1")),
            ],
        );
        let path = directory.join("Caddyfile");
        std::fs::write(&path, config).expect("written");
        let mut caddy = command("caddy");
        caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(path).env("HOME", &directory);
        caddy
    };
    let (_caddy, [plain]) = Proxy::start(start).await;
    passes_on_what_it_must(&mut behind, plain).await;
    hangs_up_on_who_is_slow(plain, HALF_HEAD).await;
}

#[tokio::test]
async fn envoy_passes_on_what_it_must() {
    let mut behind = Behind::start("envoy", "", TRUSTED);
    let (certificate, fingerprint) = certificate("envoy-certificate");
    let directory = directory("envoy");
    // Each is one listener: what it believes of the client depends on whether it has TLS.
    let envoy = |file: &str, port: u16, transport: bool| {
        let config = deployed(
            "envoy/envoy.yaml",
            &[
                ("address: 0.0.0.0, port_value: 443", &format!("address: 127.0.0.1, port_value: {port}")),
                ("address: 127.0.0.1, port_value: 8080", &backend(behind.address)),
                ("/etc/envoy/cert.pem", &certificate.to_string_lossy()),
                ("/etc/envoy/key.pem", &certificate.to_string_lossy()),
                (r#"domains: ["signal.example"]"#, r#"domains: ["*"]"#),
            ],
        );
        let path = directory.join(file);
        std::fs::write(&path, if transport { config } else { without_tls(&config) }).expect("written");
        let mut envoy = command("envoy");
        // No memory that is shared with another one of this machine.
        envoy.args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "-c"]).arg(path);
        envoy
    };
    let (_first, [tls]) = Proxy::start(|[port]: [u16; 1]| envoy("tls.yaml", port, true)).await;
    let (_second, [plain]) = Proxy::start(|[port]: [u16; 1]| envoy("plain.yaml", port, false)).await;
    talk(&behind, tls, &fingerprint, "by-envoy").await;
    passes_on_what_it_must(&mut behind, plain).await;
    tokio::join!(hangs_up_on_who_is_slow(tls, HALF_HELLO), hangs_up_on_who_is_slow(plain, HALF_HEAD));
}

fn backend(address: SocketAddr) -> String {
    format!("address: {}, port_value: {}", address.ip(), address.port())
}

/// A listener of Envoy without what makes it speak TLS.
fn without_tls(config: &str) -> String {
    let (before, rest) = config.split_once("        - transport_socket_connect_timeout: 10s\n").expect("it has TLS");
    let (_, after) = rest.split_once("          filters:\n").expect("it has filters");
    format!("{before}        - filters:\n{after}")
}

/// A proxy that gives up before the server does would cut those who are quiet between two pings.
#[test]
fn every_proxy_waits_longer_than_the_server_does() {
    let idle = cuttlebone_server::Settings::default().timeouts.idle;
    for (path, keys) in [
        ("nginx/cuttlebone.conf", &["proxy_read_timeout", "proxy_send_timeout"][..]),
        ("haproxy/haproxy.cfg", &["timeout client", "timeout server", "timeout tunnel"]),
        ("haproxy/haproxy-tcp.cfg", &["timeout client", "timeout server"]),
    ] {
        let text = deployed(path, &[]);
        for key in keys {
            let value = text
                .lines()
                .find_map(|line| line.trim().strip_prefix(key)?.trim_end_matches(';').trim().strip_suffix('s'));
            let seconds = value.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            assert!(seconds.is_some_and(|time| time > idle), "{key} of {path}: {value:?}");
        }
    }
}

/// What each file says of the configuration of the server is one that the server takes.
#[test]
fn servers_side_of_every_proxy_is_a_configuration_without_a_fault() {
    let tokens = file_with_mode("deploy.tokens", "", 0o600);
    let (certificate, _) = certificate("deploy-certificate");
    for path in [
        "nginx/cuttlebone.conf",
        "haproxy/haproxy.cfg",
        "haproxy/haproxy-tcp.cfg",
        "caddy/Caddyfile",
        "envoy/envoy.yaml",
    ] {
        let text = deployed(path, &[]);
        let lines = text.lines().filter_map(|line| line.strip_prefix("#   "));
        let config = lines.collect::<Vec<_>>().join("\n");
        assert!(config.contains("[server]") && config.contains("[proxy]"), "{path}: {config}");
        let config = config
            .replace("/etc/cuttlebone/cert.pem", &certificate.to_string_lossy())
            .replace("/etc/cuttlebone/key.pem", &certificate.to_string_lossy());
        let config = format!("{config}\n[access]\ntokens_file = {tokens:?}\n");
        let config = file(&format!("deploy-{}.toml", path.replace('/', "-")), &config);
        let output = run(&["check-config", "--config", &config]);
        assert!(output.status.success(), "{path}: {}", stderr(&output));
    }
}
