//! Plays a transcript: the step logic that all worlds share.

mod check;

use std::fmt;
use std::time::Duration;

use crate::transcript::{Bindings, Expect, Send, SendBody, Step, Transcript};
use crate::world::{Close, Received, Sent, World, WorldError};

/// How long something expected may take, where the transcript does not say.
const PATIENCE: Duration = Duration::from_secs(10);

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compare {
    /// Every byte counts.
    #[default]
    Bytes,
    /// The same JSON value counts, as from a server that writes its keys in another order.
    Meaning,
}

/// How transcripts are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunOptions {
    /// How texts are compared.
    pub compare: Compare,
    /// `cuttlebone_code` is not looked at, as of a foreign server.
    pub without_codes: bool,
}

/// The step that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line of the transcript.
    pub line: usize,
    /// What was expected and what came.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for Failure {}

/// Plays `transcript` in `world`.
///
/// # Errors
/// The first step that fails.
pub async fn run(transcript: &Transcript, world: &mut impl World, options: RunOptions) -> Result<(), Failure> {
    let mut run = Run { world, options, bindings: Bindings::new() };
    for (line, step) in &transcript.steps {
        run.step(step).await.map_err(|reason| Failure { line: *line, reason })?;
    }
    Ok(())
}

struct Run<'w, W> {
    world: &'w mut W,
    options: RunOptions,
    bindings: Bindings,
}

impl<W: World> Run<'_, W> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Open { peer, open, chosen } => {
                let got = self.world.open(peer, open).await.map_err(text)?;
                match chosen {
                    Some(chosen) if *chosen != got => Err(format!("the server chose {got:?}, not {chosen:?}")),
                    _ => Ok(()),
                }
            }
            Step::Send(send) => self.send(send).await,
            Step::Ping(peer, bytes) => self.world.send(peer, Sent::Ping(bytes.clone())).await.map_err(text),
            Step::Close(peer, code) => self.world.close(peer, Close::Clean(*code)).await.map_err(text),
            Step::Break(peer) => self.world.close(peer, Close::Reset).await.map_err(text),
            Step::Advance(time) => self.world.advance(*time).await.map_err(text),
            Step::Same(names) => check::same(&self.values(names)?),
            Step::Distinct(names) => check::distinct(&self.values(names)?),
            Step::Scattered(names) => check::scattered(&self.values(names)?),
            expectation => self.expectation(expectation).await,
        }
    }

    async fn expectation(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Expect(expect) => self.expect(expect).await,
            Step::ExpectUntil { peer, text, never } => self.expect_until(peer, text, never).await,
            Step::ExpectError { peer, error, code, within } => self.expect_error(peer, error, code, *within).await,
            Step::ExpectClose(peer, code, within) => match self.next(peer, *within, "a close frame").await? {
                Received::Close(Some(got)) if got == *code => self.expect_end(peer, false).await,
                other => Err(unexpected(&format!("a close frame with {code}"), &other)),
            },
            Step::ExpectNothing(peer, time) => match self.next_but_pings(peer, *time).await? {
                None => Ok(()),
                Some(received) => Err(unexpected("nothing", &received)),
            },
            Step::ExpectEnd(peer) => self.expect_end(peer, true).await,
            Step::ExpectPing(peer) => match self.world.receive(peer, PATIENCE).await.map_err(text)? {
                Some(Received::Ping(_)) => Ok(()),
                Some(other) => Err(unexpected("a ping", &other)),
                None => Err("expected a ping; nothing came".into()),
            },
            Step::ExpectPong(peer, bytes) => match self.next(peer, None, "a pong").await? {
                Received::Pong(got) if got == *bytes => Ok(()),
                other => Err(unexpected(&format!("a pong with {bytes:02x?}"), &other)),
            },
            _ => Err("this step expects nothing".into()),
        }
    }

    async fn send(&mut self, send: &Send) -> Result<(), String> {
        if let Some(size) = send.size {
            let whole = match (&send.of, &send.body) {
                (Some(of), _) => of,
                (None, SendBody::Text(text) | SendBody::Pieces(text, _)) => text,
                _ => return Err("size needs a text".into()),
            };
            self.bindings.fill_to(whole, &send.fill, size);
        }
        for count in 0..send.repeat {
            let sent = self.sent(&send.body, count);
            self.world.send(&send.peer, sent).await.map_err(text)?;
        }
        Ok(())
    }

    fn sent(&self, body: &SendBody, count: u32) -> Sent {
        match body {
            SendBody::Text(text) => Sent::Text(self.bindings.expand(text, count)),
            SendBody::Pieces(text, pieces) => Sent::Fragments {
                parts: check::cut(self.bindings.expand(text, count).as_bytes(), *pieces),
                continues: false,
                unfinished: false,
            },
            SendBody::TextBytes(bytes) => Sent::TextBytes(bytes.clone()),
            SendBody::Binary(bytes) => Sent::Binary(bytes.clone()),
            SendBody::Raw(bytes) => Sent::Raw(bytes.clone()),
            SendBody::Fragments(fragments) => Sent::Fragments {
                parts: fragments.parts.iter().map(|part| self.bindings.expand(part, count).into_bytes()).collect(),
                continues: fragments.continues,
                unfinished: fragments.unfinished,
            },
        }
    }

    async fn expect(&mut self, expect: &Expect) -> Result<(), String> {
        for count in 0..expect.repeat {
            let wanted = check::shorten(&self.bindings.expand(&expect.text, count));
            let received = self.next(&expect.peer, expect.within, &wanted).await?;
            let Received::Text(got) = &received else { return Err(unexpected(&wanted, &received)) };
            if let Err(mismatch) = self.bindings.compare(&expect.text, count, got) {
                let mut same = || check::same_meaning(&mut self.bindings, &expect.text, count, got);
                if self.options.compare == Compare::Bytes || !same() {
                    return Err(format!("{}: {mismatch}", unexpected(&wanted, &received)));
                }
            }
        }
        Ok(())
    }

    async fn expect_until(&mut self, peer: &str, wanted: &str, never: &str) -> Result<(), String> {
        loop {
            let received = self.next(peer, None, wanted).await?;
            let Received::Text(got) = &received else { return Err(unexpected(wanted, &received)) };
            if self.bindings.compare(wanted, 0, got).is_ok() {
                return Ok(());
            }
            if self.bindings.compare(never, 0, got).is_ok() {
                return Err(format!("this must not come: {}", check::shorten(got)));
            }
        }
    }

    /// The end of the connection itself: a close frame is none. `others`: other things may come before.
    async fn expect_end(&mut self, peer: &str, others: bool) -> Result<(), String> {
        const WANTED: &str = "the end of the connection";
        loop {
            match self.next(peer, None, WANTED).await? {
                Received::End(_) => return Ok(()),
                _ if others => {}
                other => return Err(unexpected(WANTED, &other)),
            }
        }
    }

    async fn expect_error(
        &mut self,
        peer: &str,
        error: &str,
        code: &str,
        within: Option<Duration>,
    ) -> Result<(), String> {
        let wanted = format!("the error {error:?} ({code})");
        let received = self.next(peer, within, &wanted).await?;
        let Received::Text(got) = &received else { return Err(unexpected(&wanted, &received)) };
        let message = check::ErrorMessage::parse(got).ok_or_else(|| unexpected(&wanted, &received))?;
        let code_fits = self.options.without_codes || message.code.as_deref() == Some(code);
        if !code_fits || self.bindings.compare(error, 0, &message.error).is_err() {
            return Err(unexpected(&wanted, &received));
        }
        Ok(())
    }

    /// The next thing that is not a ping; it is a failure if none comes.
    async fn next(&mut self, peer: &str, within: Option<Duration>, wanted: &str) -> Result<Received, String> {
        let received = self.next_but_pings(peer, within.unwrap_or(PATIENCE)).await?;
        received.ok_or_else(|| format!("expected {wanted}; nothing came"))
    }

    async fn next_but_pings(&mut self, peer: &str, within: Duration) -> Result<Option<Received>, String> {
        loop {
            match self.world.receive(peer, within).await.map_err(text)? {
                Some(Received::Ping(_)) => {}
                other => return Ok(other),
            }
        }
    }

    fn values(&self, names: &[String]) -> Result<Vec<String>, String> {
        let value = |name: &String| self.bindings.client(name).map(str::to_owned).ok_or(format!("{name} is not known"));
        names.iter().map(value).collect()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: WorldError) -> String {
    error.to_string()
}

fn unexpected(wanted: &str, received: &Received) -> String {
    let got = match received {
        Received::Text(text) => check::shorten(text),
        Received::Binary(bytes) => format!("a binary message of {} bytes", bytes.len()),
        Received::Ping(_) => "a ping".into(),
        Received::Pong(bytes) => format!("a pong with {bytes:02x?}"),
        Received::Close(Some(code)) => format!("a close frame with {code}"),
        Received::Close(None) => "a close frame without a code".into(),
        Received::End(Some(fault)) => format!("the end of the connection ({fault})"),
        Received::End(None) => "the end of the connection".into(),
    };
    format!("expected {}; got {got}", check::shorten(wanted))
}
