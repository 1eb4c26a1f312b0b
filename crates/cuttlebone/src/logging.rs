//! Logs: readable text or one JSON object a line, on standard error; the level can change while running.
//!
//! Invariant: what a peer sent can neither begin a new line nor steer a terminal. Control characters,
//! line separators and direction overrides are written as escapes in both formats. Nobody waits for a log to be read.

pub(crate) mod escape;
mod fields;
mod lines;

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use escape::EscapedJson;
use lines::Lines;
pub(crate) use lines::flush;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Readable, coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Parses the word of the configuration.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Validated `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// How a line looks.
    pub(crate) format: LogFormat,
    /// The filter, as `info` or `info,module=debug`; it has been parsed once.
    pub(crate) level: String,
}

/// Tells whether `level` is a filter that [`LogHandle::set_level`] takes.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    if level.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    let plain = !level.contains(['=', ',', '[']);
    if plain && level.trim().parse::<LevelFilter>().is_err() {
        return Err("expected error, warn, info, debug, trace, or module=level pairs".to_owned());
    }
    EnvFilter::try_new(level.trim()).map_err(|error| error.to_string())
}

/// Changes the level of the running process.
#[derive(Debug, Clone)]
pub(crate) struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Takes a new filter. A bad one keeps the old.
    pub(crate) fn set_level(&self, level: &str) -> Result<(), String> {
        self.0.reload(filter(level)?).map_err(|error| error.to_string())
    }
}

/// Starts logging for this process, and the panic hook. Called once.
pub(crate) fn start(settings: &LogSettings) -> Result<LogHandle, String> {
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (level, handle) = reload::Layer::new(filter(&settings.level)?);
    let registry = tracing_subscriber::registry().with(level);
    let lines = Lines::start().map_err(|error| error.to_string())?;
    let started = if json {
        let layer = fmt::layer().json().flatten_event(true).with_writer(move || EscapedJson(lines.clone()));
        registry.with(layer).try_init()
    } else {
        let layer = fmt::layer().fmt_fields(fields::EscapedFields).with_ansi(terminal).with_writer(lines);
        registry.with(layer).try_init()
    };
    started.map_err(|error| error.to_string())?;
    cuttlebone_server::log_location_only();
    Ok(LogHandle(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T47 and T57: a panic says where, and not with what.
    #[test]
    fn panic_is_logged_with_its_place_only() {
        #[derive(Clone, Default)]
        struct Kept(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);
        impl std::io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().extend(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let out = kept.clone();
        let log = tracing_subscriber::fmt().with_writer(move || out.clone()).finish();
        let before = std::panic::take_hook();
        cuttlebone_server::log_location_only();
        let panicked = tracing::subscriber::with_default(log, || {
            std::panic::catch_unwind(|| panic!("{}", String::from("CANARY")))
        });
        std::panic::set_hook(before);
        assert!(panicked.is_err());
        let text = String::from_utf8(kept.0.lock().clone()).expect("text");
        assert!(text.contains("logging.rs:") && !text.contains("CANARY"), "{text}");
    }

    #[test]
    fn levels_are_words_or_module_pairs() {
        for good in ["info", "INFO", "off", "info,cuttlebone_server=debug", "cuttlebone=trace"] {
            assert_eq!(check_level(good), Ok(()), "{good}");
        }
        for bad in ["", "loud", "cuttlebone=loud"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }
}
