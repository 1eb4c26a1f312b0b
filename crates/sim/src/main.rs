//! Runs the simulation over many seeds: `sim --seeds 5000`, or one again: `sim --seed 17`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use clap::Parser;

/// Run the deterministic simulation of the hub.
#[derive(Debug, Parser)]
struct Options {
    /// How many seeds, from 0 on.
    #[arg(long, default_value_t = 5_000)]
    seeds: u64,
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Which world.
    #[arg(long, value_enum, default_value_t = Which::Both)]
    world: Which,
    /// Steps of each run.
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// Peers at a time, in the crowd.
    #[arg(long, default_value_t = 100)]
    seats: usize,
    /// Seeds that failed once, one a line: run first, and added to.
    #[arg(long)]
    failing: Option<PathBuf>,
}

/// The worlds there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// Many peers that fight over few device ids.
    Crowd,
    /// Few sessions, over broken connections, restarts and crashes.
    Continuity,
    /// One after the other.
    Both,
}

impl Options {
    fn run(&self, seed: u64) {
        if self.world != Which::Continuity {
            cuttlebone_sim::run_crowd(seed, self.steps, self.seats);
        }
        if self.world != Which::Crowd {
            // Its steps are small ones.
            cuttlebone_sim::run_continuity(seed, 10 * self.steps);
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(seed) = options.seed {
        options.run(seed);
        println!("seed {seed}: ok");
        return Ok(());
    }
    let kept = options.failing.as_ref().map(std::fs::read_to_string).transpose()?.unwrap_or_default();
    let kept: Vec<u64> = kept.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let seeds: Vec<u64> = kept.iter().copied().chain(0..options.seeds).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = parking_lot::Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| options.run(seed))).is_err() {
                        eprintln!(
                            "seed {seed} failed: sim --seed {seed} --steps {} --seats {}",
                            options.steps, options.seats
                        );
                        failed.lock().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    if let Some(file) = &options.failing {
        let new = failed.iter().filter(|seed| !kept.contains(seed));
        let lines: String = kept.iter().chain(new).map(|seed| format!("{seed}\n")).collect();
        std::fs::write(file, lines)?;
    }
    println!("{} passed, {} failed", seeds.len() - failed.len(), failed.len());
    if !failed.is_empty() {
        std::process::exit(1);
    }
    Ok(())
}
