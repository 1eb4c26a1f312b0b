//! Numbers that a device and a client send each other over a real server, as fast as they can.

use std::sync::atomic::{AtomicUsize, Ordering};

use cuttlebone_client::{
    ClientEvent, ClientEvents, ClientHandle, ClientId, ClientOptions, DeviceEvent, DeviceEvents, DeviceHandle,
    DeviceOptions, Endpoint, Trust, client, device,
};
use cuttlebone_server::{LimitSettings, ResumeKey, Settings};
use cuttlebone_testkit::fault_proxy::FaultProxy;
use cuttlebone_testkit::{TestServer, local_settings};
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::fake::quick;

/// What may be under way in one direction: less than what either side keeps.
const WINDOW: usize = 60;
const KEY: &[u8] = b"a key that both processes know, of 32 bytes and more";

/// A proxy for each role, in front of a server.
pub(crate) struct Network {
    pub(crate) to_device: FaultProxy,
    pub(crate) to_client: FaultProxy,
    /// The server's certificate, if it speaks TLS.
    trust: Option<Trust>,
}

impl Network {
    pub(crate) async fn start(settings: Settings) -> (TestServer, Self) {
        let server = TestServer::start(settings).unwrap();
        let to_device = FaultProxy::start(&server.address()).await.unwrap();
        let to_client = FaultProxy::start(&server.address()).await.unwrap();
        let trust = server.fingerprint().map(|text| Trust::fingerprint(text).expect("a fingerprint"));
        (server, Self { to_device, to_client, trust })
    }

    pub(crate) fn device(&self) -> (DeviceHandle, DeviceEvents) {
        let info = RawValue::from_string("{}".into()).unwrap();
        device(DeviceOptions { backoff: quick(), ..DeviceOptions::new(self.endpoint(&self.to_device), "dev", info) })
    }

    pub(crate) fn client(&self) -> (ClientHandle, ClientEvents) {
        client(ClientOptions { backoff: quick(), ..ClientOptions::new(self.endpoint(&self.to_client), "dev") })
    }

    /// Another process takes over as soon as the old one is told to stop.
    pub(crate) async fn restart(&self, old: TestServer) -> TestServer {
        let next = TestServer::start(settings()).unwrap();
        self.lead_to(&next);
        assert_eq!(old.stop().await.unwrap().aborted, 0);
        next
    }

    pub(crate) fn lead_to(&self, server: &TestServer) {
        self.to_device.to(&server.address());
        self.to_client.to(&server.address());
    }

    fn endpoint(&self, proxy: &FaultProxy) -> Endpoint {
        let Some(trust) = self.trust.clone() else {
            return Endpoint::parse(&format!("ws://{}", proxy.address())).unwrap();
        };
        Endpoint::parse(&format!("wss://{}", proxy.address())).unwrap().with_trust(trust).unwrap()
    }
}

/// Without limits: the numbers come as fast as they can.
pub(crate) fn settings() -> Settings {
    Settings { resume_key: ResumeKey::new(KEY), limits: LimitSettings::OFF, ..local_settings() }
}

/// The numbers that have arrived, in ascending order.
pub(crate) struct Arrived {
    last: watch::Sender<usize>,
    missing: AtomicUsize,
}

impl Arrived {
    fn new() -> Self {
        Self { last: watch::Sender::new(0), missing: AtomicUsize::new(0) }
    }

    fn take(&self, payload: &RawValue) {
        let (number, last): (usize, usize) = (payload.get().parse().unwrap(), *self.last.borrow());
        assert!(number > last, "{number} after {last}");
        self.missing.fetch_add(number - last - 1, Ordering::Relaxed);
        self.last.send_replace(number);
    }

    /// How many came never.
    pub(crate) fn missing(&self) -> usize {
        self.missing.load(Ordering::Relaxed)
    }

    /// When this number has arrived, or a later one.
    pub(crate) async fn until(&self, number: usize) {
        self.last.subscribe().wait_for(|last| *last >= number).await.unwrap();
    }
}

/// Numbers from 1 on in both directions at the same time, until `count` has arrived or a later one.
pub(crate) struct Talk {
    count: usize,
    pub(crate) up: Arrived,
    pub(crate) down: Arrived,
    /// How often the client's session was resumed.
    pub(crate) resumed: watch::Sender<usize>,
    /// How often the client was told that something may be lost.
    pub(crate) gaps: watch::Sender<usize>,
}

impl Talk {
    pub(crate) fn new(count: usize) -> Self {
        let (resumed, gaps) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { count, up: Arrived::new(), down: Arrived::new(), resumed, gaps }
    }

    pub(crate) async fn run(&self, network: &Network) {
        let (device, device_events) = network.device();
        let (client, client_events) = network.client();
        let (begun, peer) = (watch::Sender::new(false), watch::Sender::new(None));
        let sending = async {
            tokio::join!(self.client_sends(&client, &begun), self.device_sends(&device, &peer));
        };
        tokio::select! {
            () = sending => {}
            () = self.device_hears(device_events, &peer) => panic!("the device gave up"),
            () = self.client_hears(client_events, &begun) => panic!("the client gave up"),
        }
    }

    async fn client_sends(&self, handle: &ClientHandle, begun: &watch::Sender<bool>) {
        begun.subscribe().wait_for(|begun| *begun).await.unwrap();
        let mut number = 0;
        while self.next(&self.up, &mut number).await {
            handle.forward(&number).await.unwrap();
        }
    }

    async fn device_sends(&self, handle: &DeviceHandle, peer: &watch::Sender<Option<ClientId>>) {
        let id = peer.subscribe().wait_for(Option::is_some).await.unwrap().unwrap();
        let mut number = 0;
        while self.next(&self.down, &mut number).await {
            handle.forward(id, &number).await.unwrap();
        }
    }

    /// The next number, when few enough are under way; `false` when enough have arrived. What was under way when something
    /// was lost may never arrive.
    async fn next(&self, arrived: &Arrived, number: &mut usize) -> bool {
        *number += 1;
        let (lost, mut gaps) = (*self.gaps.borrow(), self.gaps.subscribe());
        let wanted = number.saturating_sub(WINDOW).max(if *number > self.count { self.count } else { 0 });
        tokio::select! {
            () = arrived.until(wanted) => {}
            result = gaps.wait_for(|gaps| *gaps > lost) => drop(result),
        }
        *arrived.last.borrow() < self.count
    }

    /// The device notices nothing but connections of its own.
    async fn device_hears(&self, mut events: DeviceEvents, peer: &watch::Sender<Option<ClientId>>) {
        while let Some(event) = events.next().await {
            match event {
                DeviceEvent::ClientMessage { client_id, payload } => {
                    let known = peer.send_replace(Some(client_id));
                    assert!(known.is_none_or(|known| known == client_id), "another client");
                    self.up.take(&payload);
                }
                DeviceEvent::Registered { .. } | DeviceEvent::Config { .. } | DeviceEvent::Lost { .. } => {}
                other => panic!("the device was told {other:?}"),
            }
        }
    }

    async fn client_hears(&self, mut events: ClientEvents, begun: &watch::Sender<bool>) {
        while let Some(event) = events.next().await {
            match event {
                ClientEvent::DeviceInfo(_) => assert!(!begun.send_replace(true), "a second session"),
                ClientEvent::Resumed { complete, .. } => {
                    self.resumed.send_modify(|resumed| *resumed += 1);
                    self.gaps.send_modify(|gaps| *gaps += usize::from(!complete));
                }
                ClientEvent::Message(payload) => self.down.take(&payload),
                ClientEvent::Config { .. } | ClientEvent::Lost { .. } => {}
                other => panic!("the client was told {other:?}"),
            }
        }
    }
}
