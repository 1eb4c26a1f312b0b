//! What has to hold after a soak, and the arithmetic for it.
//!
//! Memory grows at first: tables and the allocator's caches come to the size that the load needs. So the first fifth of a
//! run, and at least a minute, is not looked at. How memory is judged then depends on the length of the run:
//!
//! - From half an hour on, the slope of a line through all samples (least squares) has to be below 1 MiB an hour.
//! - A shorter run can't tell such a slope from noise. The server keeps what resuming clients may ask for again, and forgets
//!   it when they are back: memory goes up and down by a quarter of a MiB with each cut. Over the four minutes that are
//!   left of five, such a step is a slope of nearly 4 MiB an hour. There, memory at the end of the load may be at most
//!   1 MiB above that after the warm-up. In five minutes this finds 40 bytes that are kept of each session, not what is
//!   lost slowly.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};

const MIB: f64 = 1024.0 * 1024.0;

/// The least warm-up.
pub(super) const WARM_UP: Duration = Duration::from_secs(60);

/// From this length on the slope counts.
const LONG: Duration = Duration::from_secs(30 * 60);

/// MiB an hour, for long runs.
const SLOPE: f64 = 1.0;

/// MiB above the memory after the warm-up, for shorter runs.
const RISE: f64 = 1.0;

/// Files above those at the start: a connection that is about to end.
const FILES: u64 = 3;

/// What the server said of itself at one time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// Since the server accepted; the load began a moment later.
    pub(super) at: Duration,
    pub(super) resident_bytes: u64,
    pub(super) open_fds: u64,
    pub(super) devices: u64,
    pub(super) clients: u64,
    pub(super) waiting_clients: u64,
    pub(super) queued_bytes: u64,
    pub(super) panics: u64,
}

impl Sample {
    /// The first line of a file of samples.
    pub(super) const HEADER: &str =
        "seconds,resident_bytes,open_fds,devices,clients,waiting_clients,queued_bytes,panics";

    /// Reads a page of metrics.
    pub(super) fn of_page(at: Duration, page: &str) -> Result<Self> {
        let value = |name: &str| -> Result<u64> {
            let mut lines = page.lines().filter_map(|line| line.strip_prefix("cuttlebone_")?.strip_prefix(name));
            let value = lines.find_map(|rest| rest.trim().parse().ok());
            value.with_context(|| format!("the metrics have no cuttlebone_{name}"))
        };
        Ok(Self {
            at,
            resident_bytes: value("process_resident_memory_bytes")?,
            open_fds: value("process_open_fds")?,
            devices: value("devices")?,
            clients: value("clients")?,
            waiting_clients: value("waiting_clients")?,
            queued_bytes: value("queued_bytes")?,
            panics: value("panics_total")?,
        })
    }

    /// A line of a file of samples.
    pub(super) fn csv(&self) -> String {
        let Self { at, resident_bytes, open_fds, devices, clients, waiting_clients, queued_bytes, panics } = self;
        let seconds = at.as_secs_f64();
        format!(
            "{seconds:.1},{resident_bytes},{open_fds},{devices},{clients},{waiting_clients},{queued_bytes},{panics}"
        )
    }

    /// What is there that was not there at the start.
    pub(super) fn left_from(&self, start: &Self) -> Vec<String> {
        let tables = [
            ("devices", self.devices),
            ("clients", self.clients),
            ("waiting clients", self.waiting_clients),
            ("queued bytes", self.queued_bytes),
        ];
        let left = tables.iter().filter(|(_, count)| *count > 0);
        let mut left: Vec<String> = left.map(|(what, count)| format!("{count} {what} are left")).collect();
        if self.open_fds > start.open_fds + FILES {
            left.push(format!("{} files are open, {} were at the start", self.open_fds, start.open_fds));
        }
        left
    }

    fn mib(&self) -> f64 {
        self.resident_bytes as f64 / MIB
    }
}

/// All that was seen.
#[derive(Debug)]
pub(super) struct Run {
    /// Seconds of load.
    pub(super) planned: Duration,
    /// Before the load.
    pub(super) start: Sample,
    /// Under load, in order.
    pub(super) loaded: Vec<Sample>,
    /// After the load, when all was gone or had not gone in time.
    pub(super) end: Sample,
    /// Loads that report faults.
    pub(super) failed_loads: Vec<&'static str>,
}

/// Memory under load, in MiB.
struct Memory {
    /// Just after the warm-up.
    warm: f64,
    /// At the end of the load.
    last: f64,
    /// A line through all between, per hour.
    slope: f64,
}

impl Run {
    /// Why it failed; empty if it did not.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.end.left_from(&self.start);
        if self.end.panics > 0 {
            faults.push(format!("{} panics", self.end.panics));
        }
        faults.extend(self.failed_loads.iter().map(|name| format!("the load {name} reports faults")));
        faults.extend(self.fault_of_memory());
        faults
    }

    fn fault_of_memory(&self) -> Option<String> {
        let Some(Memory { warm, last, slope }) = self.memory() else {
            return Some("too few samples after the warm-up".to_owned());
        };
        if self.planned >= LONG {
            return (slope >= SLOPE).then(|| format!("memory grows by {slope:.2} MiB an hour; the bound is {SLOPE}"));
        }
        let rise = last - warm;
        (rise > RISE).then(|| format!("memory has grown by {rise:.2} MiB since the warm-up; the bound is {RISE}"))
    }

    /// Where memory stood is the median over a tenth of the samples after the warm-up.
    fn memory(&self) -> Option<Memory> {
        let warm_up = warm_up(self.planned);
        let judged: Vec<&Sample> = self.loaded.iter().filter(|sample| sample.at >= warm_up).collect();
        let tenth = judged.len().div_ceil(10);
        Some(Memory {
            warm: median(&judged[..tenth])?,
            last: median(&judged[judged.len() - tenth..])?,
            slope: slope(&judged.iter().map(|sample| (hours(sample.at), sample.mib())).collect::<Vec<_>>())?,
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { planned, start, loaded, end, .. } = self;
        let mut row = |name: &str, value: String| writeln!(f, "{name:<24} {value}");
        row("load", format!("{} s, warm-up {} s", planned.as_secs(), warm_up(*planned).as_secs()))?;
        row("samples under load", loaded.len().to_string())?;
        row("memory at the start", format!("{:.2} MiB", start.mib()))?;
        if let Some(Memory { warm, last, slope }) = self.memory() {
            row("after the warm-up", format!("{warm:.2} MiB"))?;
            row("at the end of the load", format!("{last:.2} MiB"))?;
            row("slope", format!("{slope:+.2} MiB an hour"))?;
        }
        row("when all had gone", format!("{:.2} MiB", end.mib()))?;
        let most = |value: fn(&Sample) -> u64| loaded.iter().map(value).max().unwrap_or_default();
        row("most devices, clients", format!("{}, {}", most(|s| s.devices), most(|s| s.clients)))?;
        row("most queued bytes", most(|s| s.queued_bytes).to_string())?;
        row("files: start, most, end", format!("{}, {}, {}", start.open_fds, most(|s| s.open_fds), end.open_fds))?;
        row("panics", end.panics.to_string())?;
        let faults = self.faults();
        row("verdict", if faults.is_empty() { "passed".to_owned() } else { format!("FAILED: {}", faults.join("; ")) })
    }
}

/// The part of a run in which memory may grow.
fn warm_up(planned: Duration) -> Duration {
    (planned / 5).max(WARM_UP)
}

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

fn median(samples: &[&Sample]) -> Option<f64> {
    let mut values: Vec<f64> = samples.iter().map(|sample| sample.mib()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The slope of the line with the least squares; none if the points have no two places.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\
        # HELP cuttlebone_devices Registered devices.\n\
        cuttlebone_devices 3\n\
        cuttlebone_device_returns_total 99\n\
        cuttlebone_clients 2\n\
        cuttlebone_waiting_clients 1\n\
        cuttlebone_queued_bytes 4096\n\
        cuttlebone_panics_total 0\n\
        cuttlebone_process_resident_memory_bytes 1048576\n\
        cuttlebone_process_open_fds 12\n";

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A run of so many seconds, a sample a second, whose memory is this function of the hours.
    fn run(planned: u64, mib: impl Fn(f64) -> f64) -> Run {
        let idle = Sample { resident_bytes: 8 << 20, open_fds: 10, ..Sample::default() };
        let loaded = (1..=planned).map(seconds).map(|at| Sample {
            at,
            resident_bytes: (mib(hours(at)) * MIB) as u64,
            open_fds: 200,
            devices: 100,
            clients: 100,
            ..Sample::default()
        });
        let loaded = loaded.collect();
        Run { planned: seconds(planned), start: idle, loaded, end: idle, failed_loads: Vec::new() }
    }

    /// The one fault of this run.
    fn fault(run: &Run) -> String {
        let faults = run.faults();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(run.to_string().contains(&format!("FAILED: {}", faults[0])), "{run}");
        faults[0].clone()
    }

    #[test]
    fn a_sample_is_read_from_the_page_and_written_as_a_line() {
        let sample = Sample::of_page(seconds(5), PAGE).unwrap();
        assert_eq!(sample.csv(), "5.0,1048576,12,3,2,1,4096,0");
        assert_eq!(sample.csv().split(',').count(), Sample::HEADER.split(',').count());
    }

    #[test]
    fn a_metric_that_is_missing_is_named() {
        let page = PAGE.replace("panics_total", "panic_total");
        let error = Sample::of_page(seconds(5), &page).unwrap_err().to_string();
        assert_eq!(error, "the metrics have no cuttlebone_panics_total");
    }

    #[test]
    fn warm_up_is_a_fifth_and_at_least_a_minute() {
        assert_eq!([120, 300, 1800, 3600].map(|run| warm_up(seconds(run)).as_secs()), [60, 60, 360, 720]);
    }

    #[test]
    fn slope_is_that_of_the_line_with_the_least_squares() {
        let close = |points: &[(f64, f64)], expected: f64| (slope(points).unwrap() - expected).abs() < 1e-9;
        assert!(close(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)], 2.0));
        assert!(close(&[(0.0, 0.0), (1.0, 3.0), (2.0, 0.0)], 0.0), "noise has none");
        assert!(close(&[(0.0, 0.0), (1.0, 0.0), (2.0, 3.0)], 1.5));
        assert!(close(&[(10.0, 4.0), (12.0, 3.0)], -0.5));
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(slope(&[]), None);
    }

    #[test]
    fn steady_runs_pass() {
        for planned in [120, 300, 1800, 3600] {
            let run = run(planned, |_| 12.0);
            assert_eq!(run.faults(), [""; 0]);
            assert!(run.to_string().contains("verdict                  passed"), "{run}");
        }
    }

    #[test]
    fn growth_during_the_warm_up_does_not_count() {
        let growing_for = |seconds: f64| move |hours: f64| 10.0 + 100.0 * hours.min(seconds / 3600.0);
        assert_eq!(run(300, growing_for(60.0)).faults(), [""; 0]);
        assert_eq!(run(3600, growing_for(720.0)).faults(), [""; 0]);
        assert!(fault(&run(3600, growing_for(1200.0))).starts_with("memory grows by "));
    }

    #[test]
    fn a_long_run_fails_from_a_mebibyte_an_hour_on() {
        assert_eq!(run(1800, |hours| 12.0 + 0.95 * hours).faults(), [""; 0]);
        assert_eq!(fault(&run(1800, |hours| 12.0 + 1.05 * hours)), "memory grows by 1.05 MiB an hour; the bound is 1");
        assert_eq!(run(3600, |hours| 12.0 - 5.0 * hours).faults(), [""; 0], "less is no fault");
    }

    #[test]
    fn a_short_run_fails_above_a_mebibyte_more() {
        assert_eq!(run(300, |hours| 12.0 + 16.0 * hours).faults(), [""; 0]);
        let fault = fault(&run(300, |hours| 12.0 + 18.0 * hours));
        assert_eq!(fault, "memory has grown by 1.08 MiB since the warm-up; the bound is 1");
    }

    #[test]
    fn a_single_peak_is_no_growth() {
        let mut run = run(300, |_| 12.0);
        run.loaded.last_mut().unwrap().resident_bytes *= 2;
        assert_eq!(run.faults(), [""; 0]);
    }

    #[test]
    fn without_samples_there_is_no_verdict_of_memory() {
        let mut run = run(300, |_| 12.0);
        run.loaded.truncate(60);
        assert_eq!(fault(&run), "too few samples after the warm-up");
        run.loaded.clear();
        assert_eq!(fault(&run), "too few samples after the warm-up");
    }

    #[test]
    fn whatever_is_left_is_a_fault() {
        let idle = run(300, |_| 12.0).end;
        let cases = [
            (Sample { devices: 1, ..idle }, "1 devices are left"),
            (Sample { clients: 2, ..idle }, "2 clients are left"),
            (Sample { waiting_clients: 3, ..idle }, "3 waiting clients are left"),
            (Sample { queued_bytes: 4, ..idle }, "4 queued bytes are left"),
            (Sample { open_fds: 14, ..idle }, "14 files are open, 10 were at the start"),
        ];
        for (end, reason) in cases {
            assert_eq!(fault(&Run { end, ..run(300, |_| 12.0) }), reason);
        }
        let mut run = run(300, |_| 12.0);
        run.end.open_fds = 13;
        assert_eq!(run.faults(), [""; 0], "some may be about to end");
    }

    #[test]
    fn panics_and_faults_of_the_load_are_faults() {
        let mut panicked = run(300, |_| 12.0);
        panicked.end.panics = 2;
        assert_eq!(fault(&panicked), "2 panics");
        let mut load = run(300, |_| 12.0);
        load.failed_loads.push("churn");
        assert_eq!(fault(&load), "the load churn reports faults");
    }

    #[test]
    fn all_reasons_are_told_at_once() {
        let mut run = run(300, |hours| 12.0 + 100.0 * hours);
        run.end.devices = 1;
        run.end.panics = 1;
        run.failed_loads.push("pairs");
        assert_eq!(run.faults().len(), 4, "{:?}", run.faults());
    }
}
