//! Chance that can be repeated.

/// Where the choices of a run come from: a seed, or the bytes of a fuzzer.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
    script: Vec<u8>,
    at: usize,
}

impl Dice {
    /// Choices that follow from `seed` alone (splitmix64).
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed, script: Vec::new(), at: 0 }
    }

    /// Choices that `script` makes, two bytes each; when it is used up, as of seed 0.
    #[must_use]
    pub fn scripted(script: &[u8]) -> Self {
        Self { state: 0, script: script.to_vec(), at: 0 }
    }

    /// Whether all of the script has been used.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.at + 2 > self.script.len()
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = match self.script.get(self.at..self.at + 2) {
            Some(bytes) => {
                self.at += 2;
                u64::from(bytes[0]) << 8 | u64::from(bytes[1])
            }
            None => self.draw(),
        };
        usize::try_from(number % bound.max(1) as u64).unwrap_or_default()
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let choices = |seed| {
            let mut dice = Dice::seeded(seed);
            (0..9).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(choices(7), choices(7));
        assert_ne!(choices(7), choices(8));
    }

    #[test]
    fn a_script_is_followed_to_its_end() {
        let mut dice = Dice::scripted(&[0, 5, 1, 0]);
        assert_eq!((dice.below(10), dice.below(1000), dice.is_used_up()), (5, 256, true));
    }
}
