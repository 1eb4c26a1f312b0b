//! Paths that only some crates may name, found in their source.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::graph::Package;
use super::table::PATHS;

/// Every forbidden path in the `src` folder of a crate, in words.
pub(super) fn faults(package: &Package) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    if let Some(folder) = package.manifest_path.parent() {
        scan(&package.name, &folder.join("src"), &mut faults)?;
    }
    Ok(faults)
}

fn scan(package: &str, folder: &Path, faults: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            scan(package, &path, faults)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            faults.extend(forbidden(package, &text).into_iter().map(|name| {
                format!("{package} must not use {name}: {}", path.file_name().unwrap_or_default().to_string_lossy())
            }));
        }
    }
    Ok(())
}

fn forbidden(package: &str, text: &str) -> Vec<String> {
    let code: String = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    PATHS
        .iter()
        .filter(|(_, _, who)| !who.contains(&package))
        .filter(|(first, second, _)| names(&code, first, second))
        .map(|(first, second, _)| if second.is_empty() { (*first).to_owned() } else { format!("{first}::{second}") })
        .collect()
}

fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// Tells whether the code names `first::second`, also as `first::{…, second…}`; with no second part, `first::`.
fn names(code: &str, first: &str, second: &str) -> bool {
    let start = format!("{first}::");
    code.match_indices(&start).any(|(at, _)| {
        let whole_word = !code[..at].ends_with(is_word);
        let rest = code[at + start.len()..].trim_start();
        whole_word && (second.is_empty() || begins(rest, second) || group_names(rest, second))
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn begins(rest: &str, word: &str) -> bool {
    rest.strip_prefix(word).is_some_and(|after| !after.starts_with(is_word))
}

/// Looks at the outermost entries of `{a, b::{c}, d}`.
fn group_names(rest: &str, word: &str) -> bool {
    let Some(inside) = rest.strip_prefix('{') else {
        return false;
    };
    let mut depth = 0_usize;
    let mut entry = true;
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return false,
            '}' => depth -= 1,
            ',' if depth == 0 => entry = true,
            _ if entry && !character.is_whitespace() => {
                if begins(&inside[at..], word) {
                    return true;
                }
                entry = false;
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_paths_are_found_in_every_spelling() {
        for text in [
            "use tokio::net::TcpStream;",
            "use tokio::{io, net::TcpStream};",
            "use tokio::{\n    io::{self, Read},\n    net,\n};",
            "let x = ::tokio::net::lookup_host(y);",
        ] {
            assert_eq!(forbidden("cuttlebone-hub", text), ["tokio::net"], "{text}");
        }
        assert_eq!(forbidden("cuttlebone-server", "std::env::var(\"X\")"), ["std::env"]);
        assert_eq!(forbidden("cuttlebone-hub", "use rustls::ServerConfig;"), ["rustls"]);
    }

    #[test]
    fn others_are_left_alone() {
        for text in [
            "use tokio::sync::mpsc;",
            "use tokio::{io::{net}, sync};",
            "use std::net::IpAddr;",
            "// tokio::net is elsewhere",
            "let x = tokio::network();",
            "env!(\"CARGO_PKG_VERSION\")",
        ] {
            assert_eq!(forbidden("cuttlebone-hub", text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(forbidden("cuttlebone-demo-device", "use tokio::net::UdpSocket;"), Vec::<String>::new());
    }
}
