//! What a process uses, read from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::sleep;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks at one process.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    pid: u32,
}

/// Resident memory at some moments of a scenario, in bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Memory {
    /// Before anything was done.
    pub before_bytes: u64,
    /// The most that was seen meanwhile.
    pub peak_bytes: u64,
    /// At the end.
    pub after_bytes: u64,
}

impl Meter {
    /// # Errors
    /// When there is no such process, or its files can't be read.
    pub fn new(pid: u32) -> Result<Self> {
        let meter = Self { pid };
        meter.cpu()?;
        Ok(meter)
    }

    /// CPU time used so far by all threads, in user and in kernel mode (to 10 ms).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        let ticks = ticks(&stat).context("/proc/PID/stat is not as it should be")?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs(ticks) / u32::try_from(per_second)?)
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn rss(&self) -> Result<u64> {
        let status = self.read("status")?;
        rss(&status).context("no VmRSS in /proc/PID/status")
    }

    /// How many file descriptors it may have open.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn descriptors(&self) -> Result<u64> {
        let limits = self.read("limits")?;
        descriptors(&limits).context("no open files in /proc/PID/limits")
    }

    fn read(&self, file: &str) -> Result<String> {
        let pid = self.pid;
        fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("no process {pid} to look at"))
    }
}

/// `utime` + `stime`. The name of the program comes before them and may hold anything, so count from its end.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

impl Memory {
    /// Memory at the end divided by memory before.
    pub fn ratio(&self) -> f64 {
        self.after_bytes as f64 / self.before_bytes as f64
    }
}

/// Resident memory, or 0 when there is no process to look at.
///
/// # Errors
/// When the process is gone.
pub(crate) fn resident(meter: Option<Meter>) -> Result<u64> {
    meter.map_or(Ok(0), |meter| meter.rss())
}

/// The most resident memory while something else is done, or 0 when there is no process to look at.
///
/// # Errors
/// When the process is gone.
pub(crate) async fn peak_while<F: Future>(meter: Option<Meter>, other: F) -> Result<(u64, F::Output)> {
    let mut peak = resident(meter)?;
    tokio::pin!(other);
    loop {
        tokio::select! {
            output = &mut other => return Ok((peak.max(resident(meter)?), output)),
            () = sleep(LOOK_EVERY) => peak = peak.max(resident(meter)?),
        }
    }
}

fn descriptors(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_found_behind_any_program_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 70 30 5 6 20 0 3 0 1 2 3";
        assert_eq!(ticks(stat), Some(100));
    }

    #[test]
    fn memory_is_found_among_the_other_lines() {
        assert_eq!(rss("Name:\tx\nVmRSS:\t    2048 kB\nThreads: 1\n"), Some(2048 * 1024));
        assert_eq!(rss("Name:\tx\n"), None);
    }

    #[test]
    fn the_limit_of_descriptors_is_the_soft_one() {
        let line = |soft: &str| format!("Limit  Soft  Hard\nMax open files            {soft}        20000   files\n");
        assert_eq!(descriptors(&line("1024")), Some(1024));
        assert_eq!(descriptors(&line("unlimited")), Some(u64::MAX));
        assert_eq!(descriptors("Max processes 1 2"), None);
    }

    #[tokio::test]
    async fn the_peak_is_at_least_what_it_is_now() {
        let meter = Meter::new(std::process::id()).unwrap();
        let (peak, output) = peak_while(Some(meter), async { 7 }).await.unwrap();
        assert!(peak > 100_000 && output == 7);
        assert_eq!(peak_while(None, async {}).await.unwrap().0, 0);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let meter = Meter::new(std::process::id()).unwrap();
        assert!(meter.descriptors().unwrap() > 10);
        assert!(meter.rss().unwrap() > 100_000);
        assert!(Meter::new(u32::MAX).is_err());
    }
}
