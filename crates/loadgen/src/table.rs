//! Reports as text: a name and a value a line.

use std::fmt::{self, Display};

use crate::fault::Faults;
use crate::latency::Latency;
use crate::load::Window;
use crate::meter::Memory;

/// Rows of a name and a value.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(String, String)>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn row(&mut self, name: &str, value: impl Display) {
        self.rows.push((name.to_owned(), value.to_string()));
    }

    /// What every scenario with pairs says about them.
    pub(crate) fn window(&mut self, window: &Window) {
        self.row("measured", format!("{:.1} s", window.seconds));
        self.row("round trips", window.round_trips);
        let rate = window.forwards_per_second;
        self.row("forwards", format!("{rate:.0} /s (a round trip is two forwards)"));
        self.latency("round trip", &window.latency);
        if let Some(open) = &window.open_loop {
            let (reached, planned) = (open.reached_per_second, open.planned_per_second);
            self.row("open loop", format!("{reached:.0} of {planned:.0} round trips /s"));
            let (late, max) = (&open.lateness, micros(open.lateness.max_us));
            let text =
                format!("p50 {}, p99 {}, max {max} after they were due", micros(late.p50_us), micros(late.p99_us));
            self.row("messages were sent", text);
            self.row("sent over 1 ms late", format!("{} of {}", open.sent_late, late.count));
            if open.unanswered > 0 {
                self.row("NOT ANSWERED", open.unanswered);
            }
        }
        if let Some(cpu) = &window.cpu {
            let share = 100.0 * cpu.seconds / window.seconds;
            self.row("server CPU", format!("{:.2} s ({share:.0} % of a core)", cpu.seconds));
            self.row("server CPU a forward", micros(cpu.us_per_forward));
        }
    }

    pub(crate) fn latency(&mut self, of: &str, latency: &Latency) {
        for (name, value) in [
            ("p50", latency.p50_us),
            ("p90", latency.p90_us),
            ("p99", latency.p99_us),
            ("p99.9", latency.p999_us),
            ("max", latency.max_us),
        ] {
            self.row(&format!("{of} {name}"), micros(value));
        }
    }

    pub(crate) fn memory(&mut self, memory: &Memory) {
        self.row("server memory before", mib(memory.before_bytes));
        self.row("server memory at most", mib(memory.peak_bytes));
        self.row("server memory after", mib(memory.after_bytes));
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.rows.iter().try_for_each(|(name, value)| writeln!(f, "{name:width$}  {value}"))
    }
}

/// A heading and what pairs did.
pub(crate) fn section(f: &mut fmt::Formatter<'_>, heading: &str, window: &Window) -> fmt::Result {
    let mut table = Table::new();
    table.window(window);
    writeln!(f, "{heading}\n{table}")
}

/// What was heard that is no fault of anybody, such as refusals: by kind.
pub(crate) fn heard(heard: &Faults) -> String {
    let line = |(kind, fault): (&String, &crate::fault::FaultCount)| {
        format!("  {kind}: {} times, the first: {}\n", fault.count, fault.example)
    };
    heard.iter().map(line).collect()
}

/// Faults, or the good news.
pub(crate) fn faults(faults: &Faults) -> String {
    if faults.is_empty() {
        return "no faults\n".into();
    }
    let line = |(kind, fault): (&String, &crate::fault::FaultCount)| {
        format!("FAULT {kind}: {} times, the first: {}\n", fault.count, fault.example)
    };
    faults.iter().map(line).collect()
}

pub(crate) fn micros(micros: f64) -> String {
    if micros < 10_000.0 { format!("{micros:.1} \u{b5}s") } else { format!("{:.1} ms", micros / 1000.0) }
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other() {
        let mut table = Table::new();
        table.row("a", 1);
        table.row("long", "two");
        assert_eq!(table.to_string(), "a     1\nlong  two\n");
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(micros(12.34), "12.3 \u{b5}s");
        assert_eq!(micros(12_345.0), "12.3 ms");
        assert_eq!(mib(3 << 19), "1.5 MiB");
    }
}
