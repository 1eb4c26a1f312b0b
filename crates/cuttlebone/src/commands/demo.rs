//! `cuttlebone demo`: a server and a device in one process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use cuttlebone_client::Endpoint;
use cuttlebone_demo_device::{DemoDevice, DeviceError, Media, Options};
use cuttlebone_server::{ConnectionSettings, Server, Settings};
use tokio_util::sync::CancellationToken;

use super::block_on;
use super::config_doc::print;
use crate::cli::DemoArgs;
use crate::logging::{self, LogFormat, LogSettings};
use crate::signals::Signals;

/// Enough for everyone in the room.
const CONNECTIONS: usize = 1000;

/// There is little to wait for, and somebody waits at the keyboard.
const DRAIN: Duration = Duration::from_secs(1);

pub(super) fn run(args: &DemoArgs) -> Result<ExitCode> {
    let settings = LogSettings { format: LogFormat::Text, level: args.log_level.clone() };
    logging::start(&settings).map_err(anyhow::Error::msg).context("--log-level")?;
    block_on(demo(args))
}

async fn demo(args: &DemoArgs) -> Result<ExitCode> {
    let stop = CancellationToken::new();
    let signals = Signals::new().context("cannot listen to signals")?;
    let server = Server::bind(server_settings(args.listen))?;
    let address = reachable(server.local_addr());
    let device = device(address, &args.id)?;
    print(&greeting(address, &args.id))?;
    tokio::select! {
        both = together(server.run(stop.clone()), device.run(stop.clone())) => both?,
        () = signals.watch(stop.clone(), || ()) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs both to their end; a device that gives up ends the server too, for there is nothing to show.
async fn together<S>(
    server: impl Future<Output = S>,
    device: impl Future<Output = Result<(), DeviceError>>,
) -> Result<(), DeviceError> {
    let server = async {
        server.await;
        Ok(())
    };
    tokio::try_join!(server, device).map(|_| ())
}

fn server_settings(listen: SocketAddr) -> Settings {
    let mut settings = Settings { listen, metrics_listen: None, ..Settings::default() };
    settings.connections =
        ConnectionSettings { max: CONNECTIONS, ..ConnectionSettings::auto(&[listen], &settings.proxy) };
    settings.timeouts.drain = DRAIN;
    settings
}

fn device(address: SocketAddr, id: &str) -> Result<DemoDevice> {
    let endpoint = Endpoint::parse(&format!("http://{address}"))?;
    let media = Media { bind: address.ip(), ..Media::default() };
    Ok(DemoDevice::new(Options { media, ..Options::new(endpoint, id) }))
}

/// The address to tell others: for one that means all of this machine's, the one that other machines see.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    SocketAddr::new(outward(listen.ip()), listen.port())
}

/// The address from which this machine would send outside. Connecting a UDP socket sends nothing.
fn outward(all: IpAddr) -> IpAddr {
    let (outside, loopback): (SocketAddr, IpAddr) = match all {
        IpAddr::V4(_) => ((Ipv4Addr::new(192, 0, 2, 1), 9).into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => ((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(), Ipv6Addr::LOCALHOST.into()),
    };
    let local = UdpSocket::bind((all, 0)).and_then(|socket| {
        socket.connect(outside)?;
        socket.local_addr()
    });
    local.map_or(loopback, |address| address.ip())
}

fn greeting(address: SocketAddr, id: &str) -> String {
    let warning = if address.ip().is_loopback() {
        ""
    } else {
        "\nWarning: there is no authentication. Whoever reaches this address can watch and register devices.\n"
    };
    format!(
        "\nA server and a demo device are running. Open this page to watch it:\n\
         \n    http://{address}/viewer.html?deviceId={}\n\
         \nAll devices: http://{address}/\n{warning}\nStop with Ctrl-C.\n",
        escape(id),
    )
}

/// A device id as a value in a URL.
fn escape(id: &str) -> String {
    id.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::time::timeout;

    #[tokio::test]
    async fn device_that_gives_up_ends_the_demo_with_its_error() {
        let given_up = ready(Err(DeviceError::GivenUp("gone".into())));
        let ended = timeout(Duration::from_secs(5), together(pending::<()>(), given_up)).await.expect("an end");
        assert!(ended.is_err_and(|error| error.to_string().contains("gone")));
    }

    #[test]
    fn network_has_every_bound_of_one_address() {
        let connections = server_settings(([192, 0, 2, 7], 4).into()).connections;
        assert!(connections.per_address.is_some() && connections.pending_per_address.is_some());
        assert!(!connections.rate_per_address.is_off());
        let connections = server_settings(([127, 0, 0, 1], 4).into()).connections;
        assert_eq!(connections, ConnectionSettings { max: CONNECTIONS, ..ConnectionSettings::default() });
    }

    #[test]
    fn loopback_has_no_warning_and_the_network_has() {
        let page = greeting(([127, 0, 0, 1], 4).into(), "a b/ü");
        assert!(page.contains("http://127.0.0.1:4/viewer.html?deviceId=a%20b%2F%C3%BC\n"), "{page}");
        assert!(!page.contains("Warning"));
        assert!(greeting(([192, 0, 2, 7], 4).into(), "a").contains("no authentication"));
    }

    #[test]
    fn a_named_address_is_told_as_it_is() {
        let named = SocketAddr::from(([192, 0, 2, 7], 4));
        assert_eq!(reachable(named), named);
        let all = reachable(([0, 0, 0, 0], 4).into());
        assert!(!all.ip().is_unspecified() && all.port() == 4, "{all}");
    }
}
