//! The whole device against a server of a few lines.

use std::time::Duration;

use cuttlebone_client::{Backoff, Endpoint, Token};
use cuttlebone_demo_device::{DemoDevice, DeviceError, Options};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

use crate::viewer::{PATIENCE, Viewer};

struct Server {
    listener: TcpListener,
}

struct Device {
    socket: WebSocketStream<TcpStream>,
}

impl Server {
    async fn new() -> (Self, Options) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut options = Options::new(Endpoint::parse(&url).unwrap(), "cvd-1 \u{1f419}");
        options.backoff = Backoff { first: Duration::from_millis(10), ..Backoff::default() };
        (Self { listener }, options)
    }

    /// Takes the registration of a device.
    async fn accept(&self) -> (Device, Value) {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("a device").unwrap();
        let (request, socket) = ServerBuilder::new().accept(stream).await.unwrap();
        assert_eq!(request.uri().path(), "/register_device");
        let mut device = Device { socket };
        let registration = device.receive().await;
        device.send(&json!({"message_type": "config", "ice_servers": []})).await;
        (device, registration)
    }
}

impl Device {
    async fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn receive(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("a message").unwrap().unwrap();
            if let Some(text) = message.as_text() {
                return serde_json::from_str(text).unwrap();
            }
        }
    }

    async fn client_says(&mut self, payload: Value) {
        self.send(&json!({"message_type": "client_msg", "client_id": 7, "payload": payload})).await;
    }

    async fn says_to_client(&mut self) -> Value {
        let mut message = self.receive().await;
        assert_eq!((&message["message_type"], &message["client_id"]), (&json!("forward"), &json!(7)));
        message["payload"].take()
    }

    async fn closed_cleanly(&mut self) -> bool {
        let closed = async {
            while let Some(Ok(message)) = self.socket.next().await {
                if message.is_close() {
                    return true;
                }
            }
            false
        };
        timeout(PATIENCE, closed).await.expect("the device closes")
    }
}

#[tokio::test]
async fn it_registers_streams_and_leaves_properly() {
    let (server, options) = Server::new().await;
    let cancel = CancellationToken::new();
    let test = async {
        let (mut device, registration) = server.accept().await;
        assert_eq!(registration["message_type"], "register");
        assert_eq!(registration["device_id"], "cvd-1 \u{1f419}");
        assert_eq!(registration["device_info"]["displays"][0]["stream_id"], "display_0");
        device.client_says(json!({"type": "request-offer"})).await;
        let offer = device.says_to_client().await;
        assert_eq!(offer["type"], "offer");
        let candidate = device.says_to_client().await;
        assert!(candidate["candidate"].as_str().unwrap().contains(" 127.0.0.1 "), "{candidate}");
        let mut viewer = Viewer::new().await;
        let answer = viewer.answer(offer["sdp"].as_str().unwrap()).await;
        device.client_says(json!({"type": "answer", "sdp": answer})).await;
        viewer.picture().await;
        // The picture goes on while the server is away.
        drop(device);
        for _ in 0..3 {
            viewer.picture().await;
        }
        let (mut device, again) = server.accept().await;
        assert_eq!(again, registration);
        cancel.cancel();
        assert!(device.closed_cleanly().await);
    };
    let (run, ()) = tokio::join!(DemoDevice::new(options).run(cancel.clone()), test);
    run.unwrap();
}

#[tokio::test]
async fn a_server_that_is_never_there_is_given_up_if_so_told() {
    let (server, mut options) = Server::new().await;
    drop(server);
    options.backoff = Backoff::never();
    let run = DemoDevice::new(options).run(CancellationToken::new());
    let error = timeout(PATIENCE, run).await.expect("an end").unwrap_err();
    assert!(matches!(error, DeviceError::GivenUp(_)), "{error}");
}

#[tokio::test]
async fn token_that_the_server_does_not_accept_ends_it() {
    let (server, mut options) = Server::new().await;
    options.endpoint = options.endpoint.with_credential(Token::new("cbt_CANARY").unwrap());
    let refuse = async {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(head).unwrap()
    };
    let run = timeout(PATIENCE, DemoDevice::new(options).run(CancellationToken::new()));
    let (ended, head) = tokio::join!(run, refuse);
    let error = ended.expect("an end").unwrap_err();
    assert!(head.contains("authorization: Bearer cbt_CANARY\r\n"), "{head}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("401") && !shown.contains("CANARY"), "{shown}");
}
