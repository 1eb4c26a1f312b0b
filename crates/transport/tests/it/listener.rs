use std::time::Duration;

use cuttlebone_transport::ws::WsConn;
use cuttlebone_transport::{Accepted, Conn, ConnExt, Incoming, Listener, Outgoing, Stream};
use futures_util::{SinkExt, StreamExt};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_websockets::Message;

use crate::peer::{SETTINGS, client};

fn listener() -> Listener {
    Listener::bind("127.0.0.1:0".parse().unwrap(), None).unwrap()
}

async fn accepted(listener: &Listener) -> (Accepted, TcpStream) {
    let (accepted, connected) = tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
    (accepted.unwrap(), connected.unwrap())
}

#[tokio::test]
async fn peer_address_is_told() {
    let listener = listener();
    let (accepted, connected) = accepted(&listener).await;
    assert_eq!(accepted.peer(), connected.local_addr().unwrap());
}

#[tokio::test]
async fn sockets_are_set_up_for_small_messages_and_dead_peers() {
    let listener = listener();
    let (accepted, _connected) = accepted(&listener).await;
    let Stream::Plain(tcp) = accepted.handshake().await.unwrap() else {
        panic!("no TLS was asked for");
    };
    let socket = SockRef::from(&tcp);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
}

#[tokio::test]
async fn what_the_system_keeps_is_bounded_on_what_is_accepted() {
    let mut listener = listener();
    listener.set_buffers(50_000, 20_000).unwrap();
    let (accepted, _peer) = accepted(&listener).await;
    let Stream::Plain(tcp) = accepted.handshake().await.unwrap() else { panic!("no TLS here") };
    let socket = SockRef::from(&tcp);
    let [send, receive] = [socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap()];
    assert!((50_000..=100_000).contains(&send) && (20_000..=40_000).contains(&receive), "{send}, {receive}");
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), 16 * 1024, "little of it lies before a ping");
}

#[tokio::test]
async fn address_in_use_is_an_error() {
    let first = listener();
    assert!(Listener::bind(first.local_addr().unwrap(), None).is_err());
}

#[tokio::test]
async fn large_and_small_texts_go_over_a_real_socket() {
    let listener = listener();
    let (accepted, connected) = accepted(&listener).await;
    let mut conn = WsConn::new(accepted.handshake().await.unwrap(), SETTINGS);
    let mut peer = client(connected);
    for len in [5, 200_000, 16_384, 70_000, 1] {
        let text = "€".repeat(len / 3);
        let sending = async {
            peer.send(Message::text(text.clone())).await.unwrap();
            assert_eq!(peer.next().await.unwrap().unwrap().as_text(), Some(text.as_str()));
        };
        let echoing = async {
            assert_eq!(conn.next().await, Incoming::Text);
            conn.queue(Outgoing::Text(conn.text().to_owned()));
            conn.flush().await.unwrap();
        };
        tokio::join!(sending, echoing);
    }
    drop(peer);
    assert_eq!(conn.next().await, Incoming::Broken);
}
