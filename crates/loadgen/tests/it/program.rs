use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::fake::{FakeServer, Fate};

async fn loadgen(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(arguments).output().await.unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}, {output:?}"))
}

#[tokio::test]
async fn pairs_prints_a_table_and_writes_json() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let url = server.url();
    let pid = std::process::id().to_string();
    let pairs = ["pairs", "--url", &url, "--pairs", "2", "--duration", "0.2", "--warmup", "0", "--pid", &pid];
    let output = loadgen(&pairs).await;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for part in ["round trip p99.9", "a round trip is two forwards", "server CPU a forward", "no faults"] {
        assert!(table.contains(part), "{part} is missing: {table}");
    }
    let output = loadgen(&[&pairs[..], &["--json", "-"]].concat()).await;
    let report = json(&output);
    assert_eq!((&report["pairs"], &report["scenario"]), (&2.into(), &"pairs".into()));
    assert!(report["command"].as_array().unwrap().contains(&"--duration".into()));
    assert!(report["round_trips"].as_u64().unwrap() > 0);
    assert!(report["cpu"]["us_per_forward"].is_number());
}

#[tokio::test]
async fn a_fault_is_an_exit_code() {
    let server = FakeServer::start(Fate::Altered).await;
    let url = server.url();
    let output = loadgen(&["pairs", "--url", &url, "--pairs", "1", "--duration", "0.2", "--warmup", "0"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAULT altered: 1 times"), "{output:?}");
}

#[tokio::test]
async fn floor_measures_the_relay() {
    let arguments = ["floor", "--pairs", "2", "--duration", "0.5", "--warmup", "0", "--in-flight", "4", "--json", "-"];
    let output = loadgen(&arguments).await;
    let report = json(&output);
    assert!(output.status.success(), "{output:?}");
    assert!(report["round_trips"].as_u64().unwrap() > 0);
    assert!(report["cpu"]["seconds"].as_f64().unwrap() > 0.0);
    assert!(report["memory"]["peak_bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn ratio_takes_turns() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let (url, pid) = (server.url(), std::process::id().to_string());
    let output = loadgen(&[
        "ratio",
        "--url",
        &url,
        "--pid",
        &pid,
        "--rounds",
        "2",
        "--pairs",
        "2",
        "--duration",
        "0.5",
        "--warmup",
        "0",
        "--json",
        "-",
    ])
    .await;
    let report = json(&output);
    assert_eq!(report["rounds"].as_array().unwrap().len(), 2);
    let ratio = |name: &str| report["ratio"][name].as_f64().unwrap();
    assert!(0.0 < ratio("min") && ratio("min") <= ratio("median") && ratio("median") <= ratio("max"), "{report}");
}

#[tokio::test]
async fn a_chart_is_drawn_from_a_report() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (report, svg) = (folder.join("floor.json"), folder.join("floor.svg"));
    let (json, out) = (report.to_str().unwrap(), svg.to_str().unwrap());
    let floor = loadgen(&["floor", "--pairs", "1", "--duration", "0.1", "--warmup", "0", "--json", json]).await;
    assert!(floor.status.success(), "{floor:?}");
    let chart = loadgen(&["chart", "--from", json, "--out", out]).await;
    assert!(chart.status.success(), "{chart:?}");
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.contains("Round trips through the floor") && drawn.contains(">milliseconds<"), "{drawn}");
    let wrong = loadgen(&["chart", "--from", out, "--out", out]).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("is no JSON"), "{wrong:?}");
}

#[tokio::test]
async fn versus_compares_any_load_on_the_command_line() {
    let (a, b) = (FakeServer::start(Fate::PassedOn).await, FakeServer::start(Fate::PassedOn).await);
    let (a, b, pid) = (a.url(), b.url(), std::process::id().to_string());
    let common = ["versus", "--a", &a, "--b", &b, "--pid-a", &pid, "--pid-b", &pid, "--rounds", "1", "--json", "-"];
    let load = ["pairs", "--pairs", "2", "--duration", "0.5", "--warmup", "0"];
    let report = json(&loadgen(&[&common[..], &load].concat()).await);
    assert_eq!((&report["load"], &report["scenario"]), (&"pairs".into(), &"versus".into()));
    for name in ["p50_ratio", "p99_ratio", "rate_ratio", "cpu_ratio"] {
        assert!(report[name]["median"].as_f64().unwrap() > 0.0, "{report}");
    }
}

#[tokio::test]
async fn a_fault_of_a_disturbed_pair_is_an_exit_code() {
    let server = FakeServer::start(Fate::Altered).await;
    let url = server.url();
    let arguments = ["isolation", "viewer", "--url", &url, "--clients", "2", "--rounds", "1"];
    let short = ["--duration", "0.1", "--warmup", "0.1", "--json", "-"];
    let output = loadgen(&[&arguments[..], &short].concat()).await;
    let report = json(&output);
    assert_eq!((&report["disturbance"], output.status.code()), (&"never_reads".into(), Some(1)));
    assert!(report["faults"]["altered"]["count"].as_u64().unwrap() > 0, "{report}");
}

#[tokio::test]
async fn ratio_needs_a_process() {
    let output = loadgen(&["ratio", "--url", "ws://127.0.0.1:1"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("process id is needed"), "{output:?}");
}
