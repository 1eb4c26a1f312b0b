//! What the system says of this process, read when somebody asks.

use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The log belongs to the process, as this collector does.
static DROPPED_LOG_LINES: AtomicU64 = AtomicU64::new(0);

/// Counts a line that the log of this process had no room for: nobody reads it.
pub fn count_dropped_log_line() {
    DROPPED_LOG_LINES.fetch_add(1, Ordering::Relaxed);
}

/// How many lines the log of this process had no room for so far.
#[must_use]
pub fn dropped_log_lines() -> u64 {
    DROPPED_LOG_LINES.load(Ordering::Relaxed)
}

/// Memory and open files, where `/proc` tells them; elsewhere they are left out.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory of this process";
            let metric =
                encoder.encode_descriptor("process_resident_memory", help, Some(&Unit::Bytes), MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(metric)?;
        }
        if let Some(files) = open_files() {
            let help = "Open file descriptors of this process";
            let metric = encoder.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?;
            ConstGauge::new(files).encode(metric)?;
        }
        let help = "Log lines that were dropped because standard error was not read";
        let metric = encoder.encode_descriptor("dropped_log_lines", help, None, MetricType::Counter)?;
        ConstCounter::new(dropped_log_lines()).encode(metric)?;
        Ok(())
    }
}

/// Resident memory of this process, where `/proc` tells it.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
