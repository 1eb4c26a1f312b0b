//! Codes that are exchanged with the provider just now: bounded in all, and for each address, which may have a quarter of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::admission::group;
use crate::tables;

/// One address may have so many times fewer than all together.
const SHARE: usize = 4;

#[derive(Debug)]
pub(super) struct Exchanges {
    most: usize,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// One exchange that goes on, until it is dropped.
#[derive(Debug)]
pub(super) struct Exchange {
    exchanges: Arc<Exchanges>,
    address: IpAddr,
}

impl Exchanges {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, running: Mutex::default() })
    }

    /// One more, for somebody at `address`, if there is room for it.
    pub(super) fn begin(self: &Arc<Self>, address: IpAddr) -> Option<Exchange> {
        let address = group(address);
        let mut running = self.running.lock();
        let of_address = running.of.get(&address).copied().unwrap_or_default();
        if running.all >= self.most || of_address >= self.most.div_ceil(SHARE) {
            return None;
        }
        running.all += 1;
        running.of.insert(address, of_address + 1);
        Some(Exchange { exchanges: Arc::clone(self), address })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut running = self.exchanges.running.lock();
        running.all -= 1;
        if let Some(of_address) = running.of.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                tables::remove(&mut running.of, &self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn no_address_has_more_than_a_quarter_and_all_together_no_more_than_all() {
        let exchanges = Exchanges::new(8);
        let mut held: Vec<_> = [1, 1, 2, 2, 3, 3, 4].map(|last| exchanges.begin(address(last)).expect("room")).into();
        assert!(exchanges.begin(address(1)).is_none(), "its third");
        held.push(exchanges.begin(address(5)).expect("the eighth"));
        assert!(exchanges.begin(address(6)).is_none(), "the ninth");
        held.remove(0);
        assert!(exchanges.begin(address(1)).is_some() && exchanges.begin(address(6)).is_some());
        held.clear();
        let running = exchanges.running.lock();
        assert_eq!((running.all, running.of.len()), (0, 0));
    }

    #[test]
    fn where_there_are_few_each_may_have_one() {
        assert!(Exchanges::new(1).begin(address(1)).is_some());
    }
}
