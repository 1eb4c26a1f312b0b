//! The fields of a text log line, escaped.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use super::escape::Escaped;

const ITALIC: &str = "\u{1b}[3m";
const RESET: &str = "\u{1b}[0m";

/// Writes the message, then `name=value` for each field.
pub(super) struct EscapedFields;

impl<'writer> FormatFields<'writer> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { writer, first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'writer> {
    writer: Writer<'writer>,
    first: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.writer.write_char(' ')?;
        }
        if field.name() != "message" {
            let (on, off) = if self.writer.has_ansi_escapes() { (ITALIC, RESET) } else { ("", "") };
            write!(self.writer, "{on}{}{off}=", field.name())?;
        }
        Escaped(&mut self.writer).write_fmt(value)
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() {
            self.result = self.write(field, format_args!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_hostile_field_stays_on_one_line_and_steers_nothing() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = fmt().fmt_fields(EscapedFields).with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let id = "a\n2026 INFO forged\u{1b}[2J\u{9b}\u{202e}";
            tracing::info_span!("connection", %id).in_scope(|| tracing::info!(%id, "seen {id}"));
        });
        let out = String::from_utf8(sink.0.lock().clone()).expect("UTF-8");
        assert_eq!(out.matches('\n').count(), 1, "{out:?}");
        assert!(!out.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{out:?}");
        assert!(out.contains("seen a\\u{a}2026"), "{out:?}");
    }
}
