//! A configuration file: its values, and the line of each key.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Table;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Faults, Origin};
use crate::files;

/// A parsed file.
#[derive(Debug, Default)]
pub(crate) struct ConfigFile {
    /// The values as written.
    pub(crate) table: Table,
    /// The line of each key (counted from 1), by its path: `server.listen`, `ice.servers[0].urls`.
    pub(crate) lines: BTreeMap<String, usize>,
}

impl ConfigFile {
    /// Reads a file that was named by the user; that it is missing is a fault.
    pub(crate) fn read(path: &Path) -> Result<Self, Faults> {
        let cannot = |error| format!("cannot read {}: {error}", path.display());
        let text = files::when_still(path, || std::fs::read_to_string(path).map_err(cannot));
        let text = text.map_err(|text| Fault { key: String::new(), origin: Origin::Default, text })?;
        Self::parse(path, &text)
    }

    /// Parses a file's text; `path` is only shown.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, Faults> {
        let (spanned, errors) = DeTable::parse_recoverable(text);
        let mut faults = Faults::default();
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            faults.push(Fault {
                key: String::new(),
                origin: Origin::File { path: path.to_owned(), line },
                text: not_toml(error.message()),
            });
        }
        let mut lines = BTreeMap::new();
        collect_lines(text, "", spanned.get_ref(), &mut lines);
        if !faults.is_empty() {
            return Err(faults);
        }
        let table = text.parse().map_err(|error: toml::de::Error| Fault {
            key: String::new(),
            origin: Origin::File {
                path: path.to_owned(),
                line: error.span().map_or(1, |span| line_of(text, span.start)),
            },
            text: not_toml(error.message()),
        })?;
        Ok(Self { table, lines })
    }
}

fn not_toml(message: &str) -> String {
    format!("not TOML: {}", message.replace('\n', ", "))
}

fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
}

fn collect_lines(text: &str, prefix: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        lines.insert(path.clone(), line_of(text, key.span().start));
        collect_value(text, &path, value.get_ref(), lines);
    }
}

fn collect_value(text: &str, path: &str, value: &DeValue<'_>, lines: &mut BTreeMap<String, usize>) {
    match value {
        DeValue::Table(table) => collect_lines(text, path, table, lines),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                let path = format!("{path}[{index}]");
                lines.insert(path.clone(), line_of(text, item.span().start));
                collect_value(text, &path, item.get_ref(), lines);
            }
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

/// The path of a key in a table.
pub(crate) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> BTreeMap<String, usize> {
        ConfigFile::parse(Path::new("x.toml"), text).expect("valid").lines
    }

    #[test]
    fn keys_know_their_line() {
        let lines = lines("[server]\n# words\nlisten = \"a\"\n\n[[ice.servers]]\nurls = [\n \"x\"]\n");
        assert_eq!(lines["server.listen"], 3);
        assert_eq!(lines["ice.servers[0].urls"], 6);
    }

    #[test]
    fn all_syntax_errors_are_shown_with_their_lines() {
        let faults = ConfigFile::parse(Path::new("x.toml"), "[server]\nlisten = \nmetrics_listen = ]\n")
            .expect_err("invalid")
            .to_string();
        assert!(faults.contains("x.toml, line 2"), "{faults}");
        assert!(faults.contains("x.toml, line 3"), "{faults}");
    }
}
