//! Many connections from one process need many file descriptors.

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For what is open beside the connections.
const SPARE: u64 = 64;

/// Raises the soft limit as far as allowed.
///
/// # Errors
/// When fewer than `connections` would fit.
pub(crate) fn make_room(connections: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + SPARE;
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised)?;
    ensure!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "{connections} connections need {wanted} file descriptors; the hard limit is {} (see ulimit -Hn)",
        limit.maximum.unwrap_or(0)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_connections_always_fit() {
        make_room(10).unwrap();
    }
}
