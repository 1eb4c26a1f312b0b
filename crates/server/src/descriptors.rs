//! File descriptors: as many as the system allows, and no more connections than they are enough for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for listeners, logs, certificates and the metrics listener.
const RESERVED: u64 = 256;

/// Raises the soft limit of open files to the hard one and returns what holds then. `None` is no limit.
///
/// A sandbox may forbid it; then the limit stays as it is.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, limit = limit.current, "the limit of open files can't be raised");
            limit.current
        }
    }
}

/// What of the open files is for whom; the rest is for listeners, logs and the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Connections of the public listener.
    pub(crate) connections: usize,
    /// Those that are being told that there is no place.
    pub(crate) turned_away: usize,
    /// Connections of the metrics listener: it answers while the public one is full.
    pub(crate) metrics: usize,
}

impl Shares {
    /// At most what is `wanted` of each, and no more in all than `limit` is enough for.
    pub(crate) fn within(limit: Option<u64>, wanted: Self) -> Self {
        let connections = connection_cap(wanted.connections, limit);
        let rest = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX) - connections);
        Self {
            connections,
            turned_away: wanted.turned_away.min(rest / 8).max(1),
            metrics: wanted.metrics.min(rest / 4).max(1),
        }
    }
}

/// How many of `wanted` connections fit under `limit` open files: nine tenths of it without the reserve, half of a limit that
/// is smaller than the reserve, at least one.
fn connection_cap(wanted: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return wanted };
    let most = (limit / 10 * 9).saturating_sub(RESERVED).max(limit.min(RESERVED) / 2).max(1);
    wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cap_leaves_descriptors_for_everything_else() {
        assert_eq!(connection_cap(50_000, Some(20_000)), 17_744);
        assert_eq!(connection_cap(100, Some(20_000)), 100);
        assert_eq!(connection_cap(50_000, None), 50_000);
    }

    #[test]
    fn tiny_limit_still_serves() {
        assert_eq!(connection_cap(50_000, Some(64)), 32);
        assert_eq!(connection_cap(50_000, Some(1)), 1);
    }

    #[test]
    fn every_share_fits_under_the_limit() {
        let wanted = Shares { connections: 50_000, turned_away: 64, metrics: 32 };
        assert_eq!(Shares::within(None, wanted), wanted);
        assert_eq!(Shares::within(Some(20_000), wanted), Shares { connections: 17_744, ..wanted });
        assert_eq!(Shares::within(Some(64), wanted), Shares { connections: 32, turned_away: 4, metrics: 8 });
        for limit in 40..2000 {
            let Shares { connections, turned_away, metrics } = Shares::within(Some(limit), wanted);
            let sum = (connections + turned_away + metrics) as u64;
            assert!(sum + 12 <= limit, "{sum} of {limit}");
        }
    }

    #[test]
    fn raised_limit_is_the_hard_one() {
        let raised = raise_limit();
        assert_eq!(raised, getrlimit(Resource::Nofile).current);
    }
}
