//! `testssl`: everything that it looks at, but for what is excused.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Scanned, read};
use crate::shell::{command, run_command};

/// What is not said of a server that is all right.
const GOOD: [&str; 2] = ["OK", "INFO"];

/// What is said all the same, and why that is all right here.
const EXCUSED: [&str; 7] = [
    // All suites are good, and a client knows best which one it is fast at.
    "cipher_order",
    // Of the authority of a test: no list of hers is published, and she has no record in the DNS.
    "cert_revocation",
    "DNS_CAArecord",
    // Certificates that are made for a day are short.
    "cert_expirationStatus",
    "cert_notAfter",
    // It hangs up as soon as it is connected, on a busy machine before the ticket has come, and then calls that a connect problem.
    // Resumption is good either way: with it (INFO), and without.
    "sessionresumption_ticket",
    // Of the openssl that does the scan.
    "engine_problem",
];

/// Findings that show that the scan took place, and was of our server.
const NEEDED: [(&str, &str); 9] = [
    ("SSLv2", "OK"),
    ("SSLv3", "OK"),
    ("TLS1", "INFO"),
    ("TLS1_1", "INFO"),
    ("TLS1_2", "OK"),
    ("TLS1_3", "OK"),
    ("secure_client_renego", "OK"),
    ("CRIME_TLS", "OK"),
    ("HSTS_time", "OK"),
];

/// What is wrong.
pub(super) fn faults(scanned: &Scanned<'_>) -> Result<Vec<String>> {
    let report = scanned.folder.join("testssl.json");
    // It does not write over one.
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let mut scan = command("testssl", &["--quiet", "--color", "0", "--warnings", "batch"]);
    scan.arg("--add-ca").arg(scanned.folder.join("ca.pem")).arg("--jsonfile").arg(&report);
    scan.arg(format!("https://{}", scanned.address));
    // How it ends counts what it found.
    let ended = run_command(scan);
    let report = read(&report)?;
    let Some(findings) = report.as_array() else { anyhow::bail!("testssl: the report is no list, {ended:?}") };
    ensure!(!findings.is_empty(), "testssl: the report is empty, {ended:?}");
    Ok(of(findings))
}

fn of(findings: &[Value]) -> Vec<String> {
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let is_bad = |finding: &&Value| {
        !GOOD.contains(&text(finding, "severity").as_str()) && !EXCUSED.contains(&text(finding, "id").as_str())
    };
    let bad = findings.iter().filter(is_bad);
    let bad = bad.map(|it| format!("testssl: {} {}: {}", text(it, "id"), text(it, "severity"), text(it, "finding")));
    let is_there = |(id, severity): (&str, &str)| {
        findings.iter().any(|finding| text(finding, "id") == id && text(finding, "severity") == severity)
    };
    let missing = NEEDED.into_iter().filter(|needed| !is_there(*needed));
    bad.chain(missing.map(|(id, severity)| format!("testssl: {id} is not {severity}"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_not_good_and_not_excused_is_a_fault_and_so_is_what_was_not_looked_at() {
        let mut findings: Vec<Value> =
            NEEDED.iter().map(|(id, severity)| json!({"id": id, "severity": severity, "finding": ""})).collect();
        findings.push(json!({"id": "cipher_order", "severity": "HIGH", "finding": "none"}));
        assert_eq!(of(&findings), Vec::<String>::new());
        findings.push(json!({"id": "BEAST", "severity": "LOW", "finding": "VULNERABLE"}));
        assert_eq!(of(&findings), ["testssl: BEAST LOW: VULNERABLE"]);
        findings.remove(0);
        assert_eq!(of(&findings).len(), 2);
        assert_eq!(of(&[]).len(), NEEDED.len());
    }
}
