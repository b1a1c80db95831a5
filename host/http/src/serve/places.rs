//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{HttpConfig, Network};

/// Counts connections.
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    max: usize,
    max_per_address: usize,
    uncounted: Vec<Network>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place, given back on drop.
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    /// None for addresses that are not counted by themselves.
    address: Option<IpAddr>,
}

impl Places {
    pub(super) fn new(config: &HttpConfig) -> Self {
        Self {
            taken: Arc::default(),
            max: config.max_connections,
            max_per_address: config.max_connections_per_address,
            uncounted: config.trusted_proxies.clone(),
        }
    }

    /// A place for one more connection from `address`; none if a cap is reached.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let counted = !address.is_loopback()
            && !self
                .uncounted
                .iter()
                .any(|network| network.contains(address));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let from_here = if counted {
            taken.by_address.get(&address).copied().unwrap_or(0)
        } else {
            0
        };
        if taken.all >= self.max || from_here >= self.max_per_address {
            return None;
        }
        taken.all += 1;
        if counted {
            taken.by_address.insert(address, from_here + 1);
        }
        Some(Place {
            taken: Arc::clone(&self.taken),
            address: counted.then_some(address),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            // Addresses that left cost no memory.
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new(&HttpConfig {
            max_connections: 5,
            max_connections_per_address: 2,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..HttpConfig::default()
        })
    }

    #[test]
    fn one_address_has_its_share_and_gets_it_back() {
        let places = places();
        let address = "203.0.113.1".parse().unwrap();
        let first = places.take(address).unwrap();
        let _second = places.take("::ffff:203.0.113.1".parse().unwrap()).unwrap();
        assert!(places.take(address).is_none(), "a third from one address");
        assert!(
            places.take("203.0.113.2".parse().unwrap()).is_some(),
            "another address is not concerned"
        );
        drop(first);
        let _third = places.take(address).unwrap();
        assert_eq!(places.taken.lock().unwrap().by_address.len(), 1);
    }

    #[test]
    fn loopback_and_trusted_proxies_share_only_the_whole() {
        let places = places();
        let loopback = "127.0.0.1".parse().unwrap();
        let proxy = "10.9.8.7".parse().unwrap();
        let held: Vec<_> = (0..5)
            .map(|i| places.take(if i < 3 { loopback } else { proxy }).unwrap())
            .collect();
        assert!(places.take(loopback).is_none(), "the host is full");
        drop(held);
        assert!(places.taken.lock().unwrap().by_address.is_empty());
    }
}
