//! The commands of the program, one a line.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use super::{Direction, FaultProxy};

/// Why a line was not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such command.
    #[error("no such command: {0}")]
    Unknown(String),
    /// It needs something else behind it.
    #[error("usage: {0}")]
    Usage(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Command {
    Delay(Duration),
    Stall(Option<Duration>),
    Slice(NonZeroUsize),
    Cut,
    CutAfter(Direction, u64),
    HalfClose(Direction),
    Clear,
    To(String),
    Counts,
}

impl FaultProxy {
    /// Obeys one line: `delay MS`, `stall [MS]`, `slice BYTES`, `cut`, `cut-after up|down BYTES`, `half-close up|down`,
    /// `clear`, `to HOST:PORT` or `counts`. `up` is towards the server. The answer is empty but for `counts`.
    ///
    /// # Errors
    /// [`CommandError`]; then nothing was changed.
    pub async fn obey(&self, line: &str) -> Result<String, CommandError> {
        match line.parse()? {
            Command::Delay(time) => self.delay(time),
            Command::Stall(None) => self.stall(),
            Command::Stall(Some(time)) => self.stall_for(time),
            Command::Slice(bytes) => self.slice(bytes),
            Command::Cut => self.cut().await,
            Command::CutAfter(direction, bytes) => self.cut_after(direction, bytes),
            Command::HalfClose(direction) => self.half_close(direction),
            Command::Clear => self.clear(),
            Command::To(target) => self.to(&target),
            Command::Counts => return Ok(self.counts_line()),
        }
        Ok(String::new())
    }

    fn counts_line(&self) -> String {
        let counts = self.counts();
        let (connections, open, reset) = (counts.connections, counts.open, counts.reset);
        let (up, down) = (counts.up, counts.down);
        format!("connections={connections} open={open} reset={reset} up={up} down={down}")
    }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, arguments @ ..] = words.as_slice() else {
            return Err(CommandError::Unknown(String::new()));
        };
        let (usage, command) = match *name {
            "delay" => ("delay MS", one(arguments).and_then(time).map(Self::Delay)),
            "stall" if arguments.is_empty() => ("stall [MS]", Some(Self::Stall(None))),
            "stall" => ("stall [MS]", one(arguments).and_then(time).map(|time| Self::Stall(Some(time)))),
            "slice" => ("slice BYTES", one(arguments).and_then(number).map(Self::Slice)),
            "cut" => ("cut", none(arguments, Self::Cut)),
            "cut-after" => ("cut-after up|down BYTES", cut_after(arguments)),
            "half-close" => ("half-close up|down", one(arguments).and_then(direction).map(Self::HalfClose)),
            "clear" => ("clear", none(arguments, Self::Clear)),
            "to" => ("to HOST:PORT", one(arguments).and_then(target).map(Self::To)),
            "counts" => ("counts", none(arguments, Self::Counts)),
            other => return Err(CommandError::Unknown(other.to_owned())),
        };
        command.ok_or(CommandError::Usage(usage))
    }
}

fn none(arguments: &[&str], command: Command) -> Option<Command> {
    arguments.is_empty().then_some(command)
}

fn one<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    match arguments {
        [argument] => Some(argument),
        _ => None,
    }
}

fn cut_after(arguments: &[&str]) -> Option<Command> {
    let [way, bytes] = arguments else { return None };
    Some(Command::CutAfter(direction(way)?, number(bytes)?))
}

fn number<T: FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

fn time(word: &str) -> Option<Duration> {
    number(word).map(Duration::from_millis)
}

fn direction(word: &str) -> Option<Direction> {
    match word {
        "up" => Some(Direction::Up),
        "down" => Some(Direction::Down),
        _ => None,
    }
}

fn target(word: &str) -> Option<String> {
    let (host, port) = word.rsplit_once(':')?;
    let is_target = !host.is_empty() && port.parse::<u16>().is_ok();
    is_target.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read() {
        let second = Duration::from_secs(1);
        for (line, expected) in [
            ("delay 1000", Command::Delay(second)),
            ("stall", Command::Stall(None)),
            ("  stall \t 1000 ", Command::Stall(Some(second))),
            ("slice 1", Command::Slice(NonZeroUsize::MIN)),
            ("cut", Command::Cut),
            ("cut-after down 0", Command::CutAfter(Direction::Down, 0)),
            ("half-close up", Command::HalfClose(Direction::Up)),
            ("clear", Command::Clear),
            ("to [::1]:80", Command::To("[::1]:80".into())),
            ("counts", Command::Counts),
        ] {
            assert_eq!(line.parse(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for (line, expected) in [
            ("", "no such command: "),
            ("Cut", "no such command: Cut"),
            ("cut now", "usage: cut"),
            ("delay", "usage: delay MS"),
            ("delay -1", "usage: delay MS"),
            ("stall 1 2", "usage: stall [MS]"),
            ("slice 0", "usage: slice BYTES"),
            ("cut-after up", "usage: cut-after up|down BYTES"),
            ("half-close left", "usage: half-close up|down"),
            ("to nowhere", "usage: to HOST:PORT"),
            ("to :80", "usage: to HOST:PORT"),
        ] {
            let error = line.parse::<Command>().map_err(|error| error.to_string());
            assert_eq!(error, Err(expected.to_owned()), "{line}");
        }
    }
}
