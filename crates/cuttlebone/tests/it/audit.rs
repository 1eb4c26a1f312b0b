//! The audit log of the program: where it goes, who may read it, and what is in it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;
use std::thread;

use jsonschema::Validator;
use serde_json::Value;

use crate::access::{bearer, config_with, device, listing, token};
use crate::program::{Running, file, program, run, stderr};

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/audit.schema.json"));
    jsonschema::validator_for(&serde_json::from_str(schema).expect("JSON")).expect("a schema")
});

/// The lines of an audit log, each as the schema says.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let faults: Vec<String> = SCHEMA.iter_errors(&value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty() && line.len() < 1024 && line.is_ascii(), "{line} {faults:?}");
        value
    };
    text.lines().map(line).collect()
}

fn events(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["event"].as_str()).collect()
}

/// A server with tokens and an audit log, its address, and the paths of the log and of the tokens.
fn serve(name: &str) -> (Running, String, String, String) {
    let (_, tokens) = config_with(name, "");
    let log = file(&format!("{name}.jsonl"), "");
    fs::remove_file(&log).expect("is ours");
    let text = format!("[access]\ntokens_file = {tokens:?}\n[audit]\nfile = {log:?}\n");
    let config = file(&format!("{name}.toml"), &text);
    let args =
        ["serve", "--config", &config, "--listen", "127.0.0.1:0", "--metrics-listen", "", "--log-format", "json"];
    let mut running = Running::start(program(&args));
    let address = running.line().strip_prefix("listening on http://").expect("it listens").to_owned();
    (running, address, log, tokens)
}

#[test]
fn file_has_who_came_who_was_refused_and_how_it_ended_and_is_its_owners() {
    let (running, address, log, tokens) = serve("audit-file");
    assert_eq!(listing(&address, ""), "401");
    let camera = token("cam-7", "device", &tokens);
    let mut running = running;
    running.log_line("a file of access has changed: reloaded");
    drop(device(&address, &bearer(&camera)).expect("let in"));
    // A reload that works, and one that does not.
    running.signal("-HUP");
    running.log_line("reloaded log.level");
    fs::write(&tokens, "nonsense\n").expect("writes");
    running.log_line("a file of access has changed: kept the old");
    running.signal("-TERM");
    assert_eq!(running.code(), Some(0));
    let text = fs::read_to_string(&log).expect("reads");
    let lines = lines(&text);
    let events = events(&lines);
    assert_eq!((events.first(), events.last()), (Some(&"start"), Some(&"stop")));
    for event in ["refusal", "disconnect"] {
        assert!(events.contains(&event), "no {event} in {text}");
    }
    let reload = |what: &str, outcome: &str| {
        lines.iter().any(|line| line["event"] == "reload" && line["what"] == what && line["outcome"] == outcome)
    };
    assert!(reload("access", "ok") && reload("configuration", "ok") && reload("access", "refused"), "{text}");
    assert!(!text.contains(&camera["cbt_".len()..]), "{text}");
    assert_eq!(fs::metadata(&log).expect("there").mode() & 0o777, 0o600);
}

#[test]
fn hangup_begins_a_new_file_where_the_old_was_moved_away() {
    let (mut running, address, log, _) = serve("audit-hangup");
    assert_eq!(listing(&address, ""), "401");
    let moved = format!("{log}.moved");
    fs::rename(&log, &moved).expect("renames");
    running.signal("-HUP");
    running.log_line("reloaded log.level");
    running.signal("-TERM");
    assert_eq!(running.code(), Some(0));
    let [old, new] = [&moved, &log].map(|path| lines(&fs::read_to_string(path).expect("reads")));
    assert_eq!(events(&old), ["start", "refusal"]);
    assert_eq!(events(&new), ["reload", "stop"]);
}

#[test]
fn standard_output_has_the_lines_after_the_address_and_loopback_has_none_by_default() {
    let output = |words: &str| {
        let config = file(&format!("audit-{}.toml", words.len()), words);
        let args = ["serve", "--config", &config, "--listen", "127.0.0.1:0", "--metrics-listen", ""];
        let mut running = Running::start(program(&args));
        let address = running.line();
        assert!(address.starts_with("listening on "), "{address}");
        running.log_line("everybody on this machine");
        running.signal("-TERM");
        running.rest_of_output()
    };
    assert_eq!(events(&lines(&output("[audit]\noutput = \"stdout\"\n"))), ["start", "stop"]);
    assert_eq!(output(""), "");
}

#[test]
fn log_that_cannot_be_opened_is_a_fault_before_anything_is_served() {
    let config = file("audit-none.toml", "[audit]\nfile = \"/nowhere/audit.jsonl\"\nkeep = 0\nmax_bytes = 1\n");
    let output = run(&["check-config", "--config", &config]);
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output);
    for part in ["audit.file: /nowhere is no folder", "audit.keep: must be 1 to", "audit.max_bytes: must be 65536 to"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let config = file("audit-both.toml", "[audit]\nfile = \"x.jsonl\"\noutput = \"off\"\n");
    assert_eq!(run(&["check-config", "--config", &config]).status.code(), Some(78));
    let config = file("audit-word.toml", "[audit]\noutput = \"syslog\"\n");
    assert_eq!(run(&["check-config", "--config", &config]).status.code(), Some(78));
    let config = file("audit-file-none.toml", "[audit]\noutput = \"file\"\n");
    assert!(stderr(&run(&["check-config", "--config", &config])).contains("audit.file: is needed"));
}

/// T51 for the audit log: nobody reads standard output, and nobody waits.
#[test]
fn t51_audit_log_that_nobody_reads_holds_nobody_up_and_counts_what_is_lost() {
    let config = file("audit-blocked.toml", "[audit]\noutput = \"stdout\"\nrefusals_per_second = 1000\n");
    let metrics = "127.0.0.1:0";
    let args = ["serve", "--config", &config, "--listen", "127.0.0.1:0", "--metrics-listen", metrics];
    let args = [&args[..], &["--log-format", "json"]].concat();
    let mut running = Running::start(program(&args));
    let address = running.line().strip_prefix("listening on http://").expect("it listens").to_owned();
    let line = running.log_line("serving /metrics");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    let metrics = line["address"].as_str().expect("an address").to_owned();
    // A pipe holds 64 KiB, the queue 4,096 lines: more connections than that, a few at once.
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || {
                for _ in 0..700 {
                    drop(device(&address, "").expect("let in"));
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().expect("served"));
    let lost = || {
        let mut page = String::new();
        let mut stream = crate::access::request(&metrics, "/metrics", "connection: close\r\n");
        stream.read_to_string(&mut page).expect("answers");
        page.lines().find_map(|line| line.strip_prefix("cuttlebone_audit_lost_lines_total ")?.parse::<u64>().ok())
    };
    // The last connections may be ending still.
    assert!((0..2_000).any(|_| lost().expect("counted") > 0), "nothing is lost");
    assert_eq!(listing(&address, ""), "200");
}
