//! `CUTTLEBONE__SECTION__KEY` variables.
//!
//! Invariant: a variable that begins with `CUTTLEBONE__` and names no key is a fault, never ignored.

use std::ffi::{OsStr, OsString};

use toml::{Table, Value};

use super::fault::{Fault, Origin};

/// What every variable of ours begins with.
pub(crate) const PREFIX: &str = "CUTTLEBONE__";

/// One variable that names a key.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// Reads one variable: `None` if it is not ours. The type of its value is that of the default.
pub(crate) fn read(name: &OsStr, value: &OsString, defaults: &Table) -> Option<Result<Variable, Fault>> {
    let name = name.to_string_lossy().into_owned();
    let rest = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let found = rest.split_once("__").and_then(|(section, key)| Some((section, key, defaults.get(section)?.get(key)?)));
    let Some((section, key, default)) = found else {
        return Some(Err(fault(&name, String::new(), "names no key; see `cuttlebone config-doc`".into())));
    };
    let path = format!("{section}.{key}");
    let Some(text) = value.to_str() else {
        return Some(Err(fault(&name, path, "is not UTF-8".into())));
    };
    Some(match parse(text, default) {
        Ok(value) => Ok(Variable { name, section: section.to_owned(), key: key.to_owned(), value }),
        Err(wanted) => Err(fault(&name, path, format!("expected {wanted}"))),
    })
}

fn fault(name: &str, key: String, text: String) -> Fault {
    Fault { key, origin: Origin::Variable(name.to_owned()), text }
}

fn parse(text: &str, default: &Value) -> Result<Value, &'static str> {
    match default {
        Value::Integer(_) => text.trim().parse().map(Value::Integer).map_err(|_| "a number"),
        Value::Boolean(_) => text.trim().parse().map(Value::Boolean).map_err(|_| "true or false"),
        Value::Array(_) => match format!("v = {text}").parse::<Table>().map(|mut table| table.remove("v")) {
            Ok(Some(value @ Value::Array(_))) => Ok(value),
            _ => Err("a TOML array, such as [{urls = [\"stun:stun.example.org\"]}]"),
        },
        Value::Table(_) => match format!("v = {text}").parse::<Table>().map(|mut table| table.remove("v")) {
            Ok(Some(value @ Value::Table(_))) => Ok(value),
            _ => Err("a TOML table, such as {lab-admins = \"admin\"}"),
        },
        Value::String(_) | Value::Float(_) | Value::Datetime(_) => Ok(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Table {
        "[server]\nlisten = \"\"\n[timeouts]\nping_ms = 1\n[ice]\nservers = []".parse().expect("TOML")
    }

    fn value(name: &str, text: &str) -> Option<Result<Value, String>> {
        read(OsStr::new(name), &OsString::from(text), &defaults())
            .map(|result| result.map(|variable| variable.value).map_err(|fault| fault.to_string()))
    }

    #[test]
    fn other_variables_are_left_alone() {
        assert!(value("CUTTLEBONE_HOME", "x").is_none());
        assert!(value("PATH", "x").is_none());
    }

    #[test]
    fn the_default_gives_the_type() {
        assert_eq!(value("CUTTLEBONE__TIMEOUTS__PING_MS", "7"), Some(Ok(Value::Integer(7))));
        assert_eq!(value("CUTTLEBONE__SERVER__LISTEN", "7"), Some(Ok(Value::String("7".into()))));
        let servers = value("CUTTLEBONE__ICE__SERVERS", "[{urls=[\"stun:x\"]}]");
        assert!(matches!(servers, Some(Ok(Value::Array(list))) if list.len() == 1));
    }

    #[test]
    fn unknown_names_and_wrong_types_are_faults() {
        for (name, text) in [
            ("CUTTLEBONE__SERVER__LISEN", "x"),
            ("CUTTLEBONE__SERVER", "x"),
            ("CUTTLEBONE__", "x"),
            ("CUTTLEBONE__TIMEOUTS__PING_MS", "soon"),
            ("CUTTLEBONE__ICE__SERVERS", "x"),
        ] {
            let fault = value(name, text).expect("ours").expect_err(name);
            assert!(fault.contains(name), "{fault}");
        }
    }
}
