//! The soak: an optimized server under steady pairs, churn and resuming clients for a long time, looked at every few
//! seconds. Does it keep anything?
//!
//! [`load`] is what it is put under, [`server`] is what is looked at, [`judge`] says what has to hold. What was seen stays
//! in `target/soak`: `samples.csv`, a report of each load, and what the server logged beside the life of connections.

mod judge;
mod load;
mod server;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::clock;
use crate::shell::{cargo, target};
use judge::{Run, Sample, WARM_UP};
use load::Load;
use server::Server;

/// Seconds of the task.
pub(crate) const SECONDS: u32 = 3600;

/// Seconds in CI.
const CI_SECONDS: u32 = 300;

/// Samples of a run, at least.
const SAMPLES: u32 = 120;

/// The time between two samples, at most.
const EVERY: Duration = Duration::from_secs(5);

/// How long the tables may take to be empty after the load: the grace period of the server is 10 s.
const SETTLE: Duration = Duration::from_secs(30);

/// The time between two looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// CI's run.
pub(super) fn run() -> Result<()> {
    with(CI_SECONDS)
}

/// A run with so many seconds of load.
pub(crate) fn with(seconds: u32) -> Result<()> {
    let planned = Duration::from_secs(seconds.into());
    ensure!(
        planned >= 2 * WARM_UP,
        "--seconds must be at least {}: the first minute is warm-up",
        2 * WARM_UP.as_secs()
    );
    cargo(&["build", "--release", "--locked", "-p", "cuttlebone", "-p", "cuttlebone-loadgen"])?;
    let program = |name: &str| target().join("release").join(name).to_string_lossy().into_owned();
    let folder = target().join("soak");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut watch = Watch::new(Server::start(&program("cuttlebone"), &folder)?, &folder)?;
    let start = watch.look()?;
    let mut loads = load::start(&program("loadgen"), &watch.server.url, planned, &folder)?;
    let loaded = watch.under_load(&mut loads, planned)?;
    let failed_loads = load::finish(loads, planned)?;
    let end = watch.settle(&start)?;
    let run = Run { planned, start, loaded, end, failed_loads };
    println!("\n{run}\nThe samples and the reports of the loads are in {}", folder.display());
    let faults = run.faults();
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}

/// Looks at the server, and keeps what it saw.
struct Watch {
    server: Server,
    begin: Instant,
    csv: File,
}

impl Watch {
    fn new(server: Server, folder: &Path) -> Result<Self> {
        let file = folder.join("samples.csv");
        let mut csv = File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
        writeln!(csv, "{}", Sample::HEADER)?;
        Ok(Self { server, begin: clock::now(), csv })
    }

    /// Takes a sample.
    fn look(&mut self) -> Result<Sample> {
        let sample = Sample::of_page(self.begin.elapsed(), &self.server.metrics()?)?;
        writeln!(self.csv, "{}", sample.csv())?;
        Ok(sample)
    }

    /// Samples while all of the load is on. A load that ends is an error, and so is a server that does not answer.
    fn under_load(&mut self, loads: &mut [Load], planned: Duration) -> Result<Vec<Sample>> {
        let every = EVERY.min(planned / SAMPLES);
        let mut samples = Vec::new();
        let mut due = every;
        while due <= planned {
            sleep(due.saturating_sub(self.begin.elapsed()));
            loads.iter_mut().try_for_each(Load::still_on)?;
            samples.push(self.look()?);
            due += every;
        }
        Ok(samples)
    }

    /// Waits until nothing is left of the load, or the time for that is over; the last look.
    fn settle(&mut self, start: &Sample) -> Result<Sample> {
        let begin = clock::now();
        loop {
            let sample = self.look()?;
            if sample.left_from(start).is_empty() || begin.elapsed() >= SETTLE {
                return Ok(sample);
            }
            sleep(LOOK_EVERY);
        }
    }
}
