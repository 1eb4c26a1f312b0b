//! One connection through the proxy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::faults::{Faults, Shared, Signals, Stall};
use super::{CHUNK, Direction};

/// How long connecting to the target may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// From its beginning to its end: both directions have ended, or both sides are reset.
pub(super) async fn run(client: TcpStream, shared: Arc<Shared>, signals: Signals) {
    shared.counts.send_modify(|counts| {
        counts.connections += 1;
        counts.open += 1;
    });
    let was_reset = serve(client, &shared, &signals).await.is_err();
    shared.counts.send_modify(|counts| {
        counts.open -= 1;
        counts.reset += u64::from(was_reset);
    });
}

async fn serve(mut client: TcpStream, shared: &Shared, signals: &Signals) -> io::Result<()> {
    let target = shared.faults.borrow().target.clone();
    let connecting = timeout(CONNECTING, TcpStream::connect(&target));
    let mut server = match signals.cut.run_until_cancelled(connecting).await {
        Some(Ok(Ok(server))) => server,
        Some(Ok(Err(error))) => return reset(&[&client], error),
        Some(Err(_late)) => return reset(&[&client], io::ErrorKind::TimedOut.into()),
        None => return reset(&[&client], cut()),
    };
    let relaying = relay(&mut client, &mut server, shared, signals);
    match signals.cut.run_until_cancelled(relaying).await {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => reset(&[&client, &server], error),
        None => reset(&[&client, &server], cut()),
    }
}

/// Makes the coming close of these sockets a reset.
fn reset(sockets: &[&TcpStream], reason: io::Error) -> io::Result<()> {
    for socket in sockets {
        SockRef::from(*socket).set_linger(Some(Duration::ZERO))?;
    }
    Err(reason)
}

fn cut() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

async fn relay(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared, signals: &Signals) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let pump = |direction, from, to| {
        Pump { direction, from, to, shared, faults: shared.faults.subscribe() }.run(signals.half_close(direction))
    };
    let up = pump(Direction::Up, from_client, to_server);
    let down = pump(Direction::Down, from_server, to_client);
    tokio::try_join!(up, down).map(|_| ())
}

/// One direction.
struct Pump<'a> {
    direction: Direction,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    shared: &'a Shared,
    faults: watch::Receiver<Faults>,
}

impl Pump<'_> {
    async fn run(mut self, half_close: &CancellationToken) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let was_shut = match half_close.run_until_cancelled(self.copy(&mut buffer)).await {
            Some(ended) => ended.map(|()| false)?,
            None => true,
        };
        self.to.shutdown().await?;
        while was_shut && self.from.read(&mut buffer).await? > 0 {}
        Ok(())
    }

    /// Passes everything on, until the end of the direction has come through too.
    async fn copy(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let count = self.from.read(buffer).await?;
            self.delayed().await;
            if count == 0 {
                self.stalled().await;
                return Ok(());
            }
            self.pass(&buffer[..count]).await?;
        }
    }

    async fn pass(&mut self, mut chunk: &[u8]) -> io::Result<()> {
        while !chunk.is_empty() {
            self.stalled().await;
            let slice = self.faults.borrow().slice;
            let wanted = slice.map_or(chunk.len(), |slice| slice.get().min(chunk.len()));
            let grant = self.shared.grant(self.direction, wanted);
            self.to.write_all(&chunk[..grant.bytes]).await?;
            self.to.flush().await?;
            self.count(grant.bytes);
            if grant.last {
                self.shared.cut();
                return Err(cut());
            }
            chunk = &chunk[grant.bytes..];
            if slice.is_some() {
                yield_now().await;
            }
        }
        Ok(())
    }

    fn count(&self, bytes: usize) {
        self.shared.counts.send_modify(|counts| match self.direction {
            Direction::Up => counts.up += bytes as u64,
            Direction::Down => counts.down += bytes as u64,
        });
    }

    async fn delayed(&mut self) {
        let begun = Instant::now();
        self.held_until(|faults| Some(begun + faults.delay)).await;
    }

    async fn stalled(&mut self) {
        let now = Instant::now();
        self.held_until(|faults| match faults.stall {
            Stall::Never => Some(now),
            Stall::Until(end) => Some(end),
            Stall::Forever => None,
        })
        .await;
    }

    /// Waits for the moment that the faults give, `None` being never; a change of the faults may give another.
    async fn held_until(&mut self, moment: impl Fn(&Faults) -> Option<Instant>) {
        loop {
            let moment = moment(&self.faults.borrow_and_update());
            if moment.is_some_and(|moment| moment <= Instant::now()) {
                return;
            }
            let passed = async {
                match moment {
                    Some(moment) => sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            // Either is followed by another look. The sender lives as long as the connection: no error comes.
            tokio::select! {
                () = passed => {}
                _ = self.faults.changed() => {}
            }
        }
    }
}
