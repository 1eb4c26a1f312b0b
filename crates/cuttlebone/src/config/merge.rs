//! Defaults, file, variables and flags, laid over each other; each value remembers where it came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::fault::{Fault, Faults, Origin};
use super::file::ConfigFile;
use super::raw::RawConfig;
use super::{DEFAULTS, environment};

/// One value given by a command line flag.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    /// The flag, for messages: `--listen`.
    pub(crate) flag: &'static str,
    /// The section and the key that it sets.
    pub(crate) key: (&'static str, &'static str),
    /// The value.
    pub(crate) value: Value,
}

/// The layers, merged as far as they have been added.
#[derive(Debug)]
pub(crate) struct Merged {
    defaults: Table,
    table: Table,
    origins: BTreeMap<String, Origin>,
    faults: Faults,
}

impl Merged {
    /// The embedded defaults alone.
    pub(crate) fn new() -> Self {
        let defaults: Table = DEFAULTS.parse().expect("the embedded defaults are TOML: a test parses them");
        Self { table: defaults.clone(), defaults, origins: BTreeMap::new(), faults: Faults::default() }
    }

    /// Lays a file over what is there.
    pub(crate) fn add_file(&mut self, path: &Path, file: ConfigFile) {
        for (key, line) in file.lines {
            self.origins.insert(key, Origin::File { path: path.to_owned(), line });
        }
        for (section, value) in file.table {
            match (self.table.get_mut(&section), value) {
                (Some(Value::Table(below)), Value::Table(above)) => below.extend(above),
                (_, value) => drop(self.table.insert(section, value)),
            }
        }
    }

    /// Lays the variables of ours among `variables` over what is there.
    pub(crate) fn add_variables(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        let mut variables: Vec<_> = variables.collect();
        variables.sort();
        for (name, value) in &variables {
            match environment::read(name, value, &self.defaults) {
                None => {}
                Some(Ok(variable)) => {
                    let origin = Origin::Variable(variable.name);
                    self.set(&variable.section, &variable.key, variable.value, origin);
                }
                Some(Err(fault)) => drop(self.faults.push(fault)),
            }
        }
    }

    /// Lays flags over what is there.
    pub(crate) fn add_flags(&mut self, flags: Vec<Override>) {
        for Override { flag, key: (section, key), value } in flags {
            self.set(section, key, value, Origin::Flag(flag));
        }
    }

    fn set(&mut self, section: &str, key: &str, value: Value, origin: Origin) {
        let path = format!("{section}.{key}");
        self.origins.retain(|known, _| !known.strip_prefix(&path).is_some_and(|rest| rest.starts_with('[')));
        self.origins.insert(path, origin);
        let entry = self.table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(table) = entry {
            table.insert(key.to_owned(), value);
        }
    }

    /// Where the value of a key was written; an entry without an origin of its own has that of its parent.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        let mut path = key;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return origin.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return Origin::Default,
            }
        }
    }

    /// The typed configuration, and every fault of names and types. What was faulty has its default.
    pub(crate) fn typed(&mut self) -> Result<(RawConfig, Faults), Faults> {
        let mut faults = std::mem::take(&mut self.faults);
        loop {
            let error = match serde_path_to_error::deserialize(Value::Table(self.table.clone())) {
                Ok(raw) => return Ok((raw, faults)),
                Err(error) => error,
            };
            let key = error.path().to_string();
            let fault = Fault { origin: self.origin(&key), text: describe(&key, error.inner()), key };
            if !faults.push(fault) {
                return Err(faults);
            }
            let path: Vec<&Segment> = error.path().iter().collect();
            mend(&mut self.table, &self.defaults, &path);
        }
    }
}

/// Puts the default back where a fault was, so that the next fault can be found.
fn mend(table: &mut Table, defaults: &Table, path: &[&Segment]) {
    let [Segment::Map { key }, rest @ ..] = path else {
        return;
    };
    let default = defaults.get(key);
    match (table.get_mut(key), rest) {
        (Some(Value::Table(inner)), [_, ..]) => {
            let none = Table::new();
            mend(inner, default.and_then(Value::as_table).unwrap_or(&none), rest);
        }
        (Some(Value::Array(items)), [Segment::Seq { index }, rest @ ..])
            if items.get(*index).is_some_and(Value::is_table) =>
        {
            if let Some(Value::Table(item)) = items.get_mut(*index) {
                mend(item, &Table::new(), rest);
            }
        }
        _ => match default {
            Some(value) => drop(table.insert(key.clone(), value.clone())),
            None => drop(table.remove(key)),
        },
    }
}

/// Whether what stands under a key is a secret, or one of several.
fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key).trim_end_matches(|char: char| "[]0123456789".contains(char));
    ["credential", "_key", "secret", "secrets"].iter().any(|secret| name.ends_with(secret))
}

/// A type error in plain words. It shows no text that stands where something else belongs: it may be a secret that is out of place.
fn describe(key: &str, error: &toml::de::Error) -> String {
    let text = match error.message().split_once("invalid type: ") {
        Some((before, rest)) => {
            let kind: String = rest.chars().take_while(|char| !['"', '`', ','].contains(char)).collect();
            let expected = rest.rsplit_once(", expected ").map_or("something else", |(_, expected)| expected);
            format!("{before}invalid type: {}, expected {expected}", kind.trim_end())
        }
        None => error.message().to_owned(),
    };
    if is_secret(key) {
        return if key.ends_with("secrets") {
            "expected a list of texts in quotes"
        } else {
            "expected a text in quotes"
        }
        .to_owned();
    }
    if text.starts_with("unknown field") {
        return "is not a key; see `cuttlebone config-doc`".to_owned();
    }
    text.replace("u64", "a whole number, 0 or more").replace("a sequence", "an array")
}
