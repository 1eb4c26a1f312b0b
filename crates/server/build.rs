//! Writes the table of embedded files: `web/` as `/<file>`, `sdk/js/` as `/js/<file>`.
//!
//! The table is sorted by its path, and a file is in it only if its extension has a content type here. Paths of the build
//! machine stay in the generated source: the binary holds the contents and the public names.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Everything that a browser may be given, and how it is labelled.
const CONTENT_TYPES: &[(&str, &str)] = &[
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("js", "text/javascript; charset=utf-8"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
];

/// Folders of tools and tests that may stand beside the files.
const SKIPPED: &[&str] = &["node_modules", "test", "tests", "types", "examples"];

fn main() -> io::Result<()> {
    // Asked for when it runs: what is compiled in would outlive a checkout that has moved.
    let root = directory("CARGO_MANIFEST_DIR")?.join("../..");
    let mut files = Vec::new();
    collect(&root.join("web"), "/", None, &mut files)?;
    collect(&root.join("sdk/js"), "/js/", Some("js"), &mut files)?;
    files.sort();
    fs::write(directory("OUT_DIR")?.join("assets.rs"), render(&files)?)
}

/// A directory that cargo names in the environment.
fn directory(name: &str) -> io::Result<PathBuf> {
    env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("{name} is not set")))
}

/// Adds the files under `dir` as `prefix` and their name, only those with the extension `only` if there is one.
fn collect(dir: &Path, prefix: &str, only: Option<&str>, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", dir.display());
    let entries = fs::read_dir(dir).map_err(|error| io::Error::other(format!("{}: {error}", dir.display())))?;
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), only, files)?;
        } else if wanted(&path, &name, only) {
            files.push((format!("{prefix}{name}"), fs::canonicalize(&path)?));
        }
    }
    Ok(())
}

fn wanted(path: &Path, name: &str, only: Option<&str>) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    content_type(path).is_some() && !name.ends_with(".test.js") && (only.is_none() || extension == only)
}

fn content_type(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?;
    CONTENT_TYPES.iter().find(|(known, _)| *known == extension).map(|(_, content_type)| *content_type)
}

fn render(files: &[(String, PathBuf)]) -> io::Result<String> {
    let mut table = String::from("const ASSETS: &[Asset] = &[\n");
    for (name, path) in files {
        println!("cargo::rerun-if-changed={}", path.display());
        let content_type = content_type(path).unwrap_or("application/octet-stream");
        let tag = fnv1a(&fs::read(path)?);
        writeln!(
            table,
            "    Asset {{ path: {name:?}, content_type: {content_type:?}, etag: \"\\\"{tag:016x}\\\"\", body: include_bytes!({path:?}) }},"
        )
        .map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    Ok(table)
}

/// FNV-1a, 64 bit. A validator of our own files only has to change when they do.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
