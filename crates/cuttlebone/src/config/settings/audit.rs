//! `[audit]`: where the audit log goes.

use std::net::SocketAddr;
use std::path::Path;

use super::super::raw::RawAudit;
use super::check::Check;
use crate::audit::{self, AuditOutput};

/// The lengths that a file may be given. A shorter one would be moved aside all the time.
const BYTES: std::ops::RangeInclusive<u64> = 65_536..=1 << 40;

/// How many files may be kept.
const KEPT: std::ops::RangeInclusive<u64> = 1..=1_000;

pub(super) fn output(raw: &RawAudit, listen: SocketAddr, check: &mut Check<'_>) -> AuditOutput {
    within("audit.max_bytes", raw.max_bytes, &BYTES, check);
    within("audit.keep", raw.keep, &KEPT, check);
    let has_file = !raw.file.is_empty();
    match raw.output.as_str() {
        "auto" | "file" if has_file => file(raw, check),
        "auto" if listen.ip().to_canonical().is_loopback() => AuditOutput::Off,
        "file" => {
            check.fault_with("audit.file", "audit.output", "is needed with audit.output = \"file\"");
            AuditOutput::Off
        }
        "off" | "stdout" if has_file => {
            let text = format!("is named, and audit.output is {:?}", raw.output);
            check.fault("audit.file", text);
            AuditOutput::Off
        }
        "off" => AuditOutput::Off,
        "auto" | "stdout" => AuditOutput::Stdout,
        other => {
            check.fault("audit.output", format!("expected \"auto\", \"off\", \"stdout\" or \"file\", not {other:?}"));
            AuditOutput::Off
        }
    }
}

fn file(raw: &RawAudit, check: &mut Check<'_>) -> AuditOutput {
    let path = Path::new(&raw.file);
    if let Err(fault) = audit::check(path) {
        check.fault("audit.file", fault);
    }
    let keep = u32::try_from(raw.keep).unwrap_or(u32::MAX);
    AuditOutput::File { path: path.to_owned(), max_bytes: raw.max_bytes, keep }
}

fn within(key: &str, value: u64, range: &std::ops::RangeInclusive<u64>, check: &mut Check<'_>) {
    if !range.contains(&value) {
        check.fault(key, format!("must be {} to {}", range.start(), range.end()));
    }
}
