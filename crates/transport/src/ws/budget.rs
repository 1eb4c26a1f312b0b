//! How many control frames a peer may send.

use std::time::Duration;

use tokio::time::Instant;

/// A rate, and how many may come at once.
///
/// The default, 10 a second and 50 at once, is far above what any peer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlBudget {
    /// Pings and pongs a second in the long run.
    pub per_second: u32,
    /// Pings and pongs at once.
    pub burst: u32,
}

impl Default for ControlBudget {
    fn default() -> Self {
        Self { per_second: 10, burst: 50 }
    }
}

/// A token bucket that is stored as the moment at which it will be full again.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    depth: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(budget: ControlBudget) -> Self {
        let interval = Duration::from_secs(1) / budget.per_second.max(1);
        Self { interval, depth: interval.saturating_mul(budget.burst), full_at: None }
    }

    /// Takes one; false if there is none.
    pub(super) fn take(&mut self) -> bool {
        let now = Instant::now();
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + self.interval;
        let allowed = full_at - now <= self.depth;
        if allowed {
            self.full_at = Some(full_at);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn burst_then_rate() {
        let mut bucket = Bucket::new(ControlBudget { per_second: 10, burst: 3 });
        assert_eq!([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [true, true, true, false]);
        tokio::time::advance(Duration::from_millis(99)).await;
        assert!(!bucket.take());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!([bucket.take(), bucket.take()], [true, false]);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [true, true, true, false]);
    }
}
