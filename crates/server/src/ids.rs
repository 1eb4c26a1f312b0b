//! Client ids that nobody can guess.

use cuttlebone_hub::IdSource;
use cuttlebone_proto::ClientId;

/// Draws from the random numbers of the system.
#[derive(Debug)]
pub(crate) struct SystemRandom;

impl IdSource for SystemRandom {
    fn draw(&self) -> ClientId {
        loop {
            let number = getrandom::u32().expect("the system has random numbers once it has started");
            if let Some(id) = ClientId::new(number & ClientId::MAX) {
                return id;
            }
        }
    }

    fn draw_session(&self) -> u64 {
        getrandom::u64().expect("the system has random numbers once it has started")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_spread_over_their_range() {
        let drawn: Vec<u32> = (0..64).map(|_| SystemRandom.draw().value()).collect();
        assert!(drawn.iter().any(|id| *id > ClientId::MAX / 2) && drawn.iter().any(|id| *id < ClientId::MAX / 2));
    }
}
