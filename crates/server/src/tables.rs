//! Tables that are large for the time of a storm only.

use std::collections::HashMap;
use std::hash::Hash;

/// Tables up to here stay as they are.
const SMALL: usize = 64;

/// Takes an entry out, and gives back what a storm has left behind.
pub(crate) fn remove<K: Eq + Hash, V>(table: &mut HashMap<K, V>, key: &K) -> Option<V> {
    let value = table.remove(key);
    if table.capacity() > SMALL && table.len() < table.capacity() / 4 {
        table.shrink_to(2 * table.len());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_small_again_when_the_storm_is_over() {
        let mut table: HashMap<u32, u32> = (0..10_000).map(|key| (key, key)).collect();
        for key in 0..10_000 {
            assert_eq!(remove(&mut table, &key), Some(key));
        }
        assert!(table.capacity() <= SMALL, "{}", table.capacity());
    }
}
