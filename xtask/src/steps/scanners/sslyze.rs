//! `sslyze`: protocols and suites, and the known holes.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::{Scanned, read};
use crate::shell::{command, run_command};

/// A protocol, and the suites that are offered with it.
const SUITES: [(&str, &[&str]); 6] = [
    ("ssl_2_0", &[]),
    ("ssl_3_0", &[]),
    ("tls_1_0", &[]),
    ("tls_1_1", &[]),
    (
        "tls_1_2",
        &[
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ],
    ),
    ("tls_1_3", &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]),
];

/// A scan, a field of what came of it, and what that has to be.
const FIELDS: [(&str, &str, &str); 9] = [
    ("tls_compression", "supports_compression", "false"),
    ("tls_1_3_early_data", "supports_early_data", "false"),
    ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", "false"),
    ("heartbleed", "is_vulnerable_to_heartbleed", "false"),
    ("robot", "robot_result", "\"NOT_VULNERABLE_RSA_NOT_SUPPORTED\""),
    ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos", "false"),
    ("session_renegotiation", "client_renegotiations_success_count", "0"),
    ("tls_extended_master_secret", "supports_ems_extension", "true"),
    ("tls_fallback_scsv", "supports_fallback_scsv", "true"),
];

const SCANS: [&str; 15] = [
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
    "--compression",
    "--early_data",
    "--openssl_ccs",
    "--heartbleed",
    "--robot",
    "--reneg",
    "--ems",
    "--fallback",
    "--elliptic_curves",
];

/// What is wrong. That the server has what Mozilla asks of an "intermediate" one is seen by how the scanner ends.
pub(super) fn faults(scanned: &Scanned<'_>) -> Result<Vec<String>> {
    let report = scanned.folder.join("sslyze.json");
    let mut scan = command("sslyze", &[&SCANS[..], &["--certinfo", "--mozilla_config=intermediate"]].concat());
    scan.arg(format!("--certinfo_ca_file={}", scanned.folder.join("ca.pem").display()));
    scan.arg(format!("--json_out={}", report.display())).arg(scanned.address);
    run_command(scan)?;
    Ok(of(&read(&report)?["server_scan_results"][0]["scan_result"]))
}

fn of(result: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (protocol, expected) in SUITES {
        let accepted = result[format!("{protocol}_cipher_suites")]["result"]["accepted_cipher_suites"].as_array();
        let names = |suites: &Vec<Value>| -> BTreeSet<String> {
            suites.iter().map(|suite| suite["cipher_suite"]["name"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let expected = expected.iter().map(|name| (*name).to_owned()).collect();
        if accepted.map(names).as_ref() != Some(&expected) {
            faults.push(format!("sslyze: {protocol} has other suites than {expected:?}"));
        }
    }
    for (scan, field, expected) in FIELDS {
        let found = result[scan]["result"][field].to_string();
        if found != expected {
            faults.push(format!("sslyze: {scan}.{field} is {found}, not {expected}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report in which nothing is wrong.
    fn good() -> Value {
        let mut report = Value::Object(serde_json::Map::new());
        for (protocol, suites) in SUITES {
            let suites: Vec<_> =
                suites.iter().map(|name| serde_json::json!({"cipher_suite": {"name": name}})).collect();
            report[format!("{protocol}_cipher_suites")]["result"]["accepted_cipher_suites"] = Value::Array(suites);
        }
        for (scan, field, expected) in FIELDS {
            report[scan]["result"][field] = serde_json::from_str(expected).unwrap();
        }
        report
    }

    #[test]
    fn whatever_is_missing_or_otherwise_is_a_fault() {
        assert_eq!(of(&good()), Vec::<String>::new());
        assert_eq!(of(&Value::Null).len(), SUITES.len() + FIELDS.len());
        let mut old = good();
        old["tls_1_0_cipher_suites"] = old["tls_1_2_cipher_suites"].clone();
        old["tls_1_3_early_data"]["result"]["supports_early_data"] = Value::Bool(true);
        let faults = of(&old);
        assert!(faults.len() == 2 && faults[0].contains("tls_1_0") && faults[1].contains("early_data"), "{faults:?}");
    }
}
