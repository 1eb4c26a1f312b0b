//! Many connections from one process need many file descriptors.

use anyhow::{Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::meter::Meter;

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

/// Whether a server has room for so many connections, as far as can be seen from outside.
///
/// # Errors
/// When it has not, or is gone.
pub(crate) fn server_has_room(meter: Option<Meter>, connections: usize) -> Result<()> {
    let Some(meter) = meter else { return Ok(()) };
    let limit = meter.descriptors()?;
    ensure!(
        limit >= connections as u64 + SPARE,
        "{connections} connections do not fit: the server may have {limit} file descriptors"
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

    #[test]
    fn the_soft_limit_is_raised_and_the_hard_one_is_told() {
        let Some(hard) = getrlimit(Resource::Nofile).maximum else { return };
        let most = usize::try_from(hard - SPARE).unwrap();
        make_room(most).unwrap();
        assert!(getrlimit(Resource::Nofile).current.is_some_and(|soft| soft >= most as u64));
        let error = make_room(most + 1).unwrap_err().to_string();
        assert!(error.contains(&format!("the hard limit is {hard}")), "{error}");
    }

    #[test]
    fn a_server_without_room_is_seen() {
        let meter = Meter::new(std::process::id()).unwrap();
        let limit = usize::try_from(meter.descriptors().unwrap()).unwrap_or(usize::MAX - 64);
        assert!(server_has_room(Some(meter), 10).is_ok() && server_has_room(None, limit).is_ok());
        assert!(server_has_room(Some(meter), limit).is_err());
    }
}
